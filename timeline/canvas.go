package timeline

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// canvas collects the elements of an SVG image. y is where the next row begins.
type canvas struct {
	b []byte
	y float64
}

// The style has no colours in elements, so that one media query turns the whole picture dark. Colours of the exits are chosen to
// stay apart for people with red-green weakness; neighbours differ in lightness too.
const style = `text{font-family:system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,"DejaVu Sans",sans-serif;fill:#1f2937}
.bg{fill:#ffffff}.tile{fill:#f3f5f8}.title{font-size:21px;font-weight:650}.big{font-size:23px;font-weight:650}
.head{font-size:15px;font-weight:650}.name,.num{font-size:13px}.small{font-size:12px}
.num,.big,.tick{font-variant-numeric:tabular-nums}.muted,.tick{fill:#667085;font-size:12px}.tick{font-size:11px}
.grid{stroke:#e5e8ee;stroke-width:1}.rule{stroke:#cfd5de;stroke-width:1}
.setup{fill:#2f6fde}.guest{fill:#159a6c}.beside{fill-opacity:.45}
.k0{fill:#2f6fde}.k1{fill:#f0a202}.k2{fill:#159a6c}.k3{fill:#d8483e}.k4{fill:#7a5bd0}.k5{fill:#3fb8d6}.k6{fill:#e07bb0}.k7{fill:#98a2b3}
@media (prefers-color-scheme:dark){text{fill:#e6e9ef}.bg{fill:#14171c}.tile{fill:#1f242c}.muted,.tick{fill:#98a2b3}
.grid{stroke:#2a303a}.rule{stroke:#3a424e}.setup,.k0{fill:#5b93f5}.guest,.k2{fill:#35b987}.k1{fill:#f2b63c}.k3{fill:#ee6f63}
.k4{fill:#a48bec}.k5{fill:#63cbe4}.k6{fill:#eb9cc6}.k7{fill:#7b8494}}`

// document wraps the elements into an image of the height that they need.
func (c *canvas) document(title string) []byte {
	h := num(c.y)
	w := strconv.Itoa(width)
	head := `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + w + ` ` + h + `" width="` + w + `" height="` + h +
		`" role="img"><title>` + escape(title) + "</title>\n<style>" + style + "</style>\n" +
		`<rect class="bg" width="` + w + `" height="` + h + `"/>` + "\n"
	out := make([]byte, 0, len(head)+len(c.b)+8)
	out = append(out, head...)
	out = append(out, c.b...)
	return append(out, "</svg>\n"...)
}

func (c *canvas) put(parts ...string) {
	for _, p := range parts {
		c.b = append(c.b, p...)
	}
}

// rect draws a box; tip, unless empty, is what a browser shows when the pointer rests on it.
func (c *canvas) rect(x, y, w, h, r float64, class, tip string) {
	c.put(`<rect x="`, num(x), `" y="`, num(y), `" width="`, num(w), `" height="`, num(h), `" rx="`, num(r), `" class="`, class, `"`)
	if tip == "" {
		c.put("/>\n")
		return
	}
	c.put("><title>", escape(tip), "</title></rect>\n")
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	c.put(`<line x1="`, num(x1), `" y1="`, num(y1), `" x2="`, num(x2), `" y2="`, num(y2), `" class="`, class, "\"/>\n")
}

func (c *canvas) text(x, y float64, class, anchor, s string) { c.textTip(x, y, class, anchor, s, "") }

func (c *canvas) textTip(x, y float64, class, anchor, s, tip string) {
	c.put(`<text x="`, num(x), `" y="`, num(y), `" class="`, class, `"`)
	if anchor != "start" {
		c.put(` text-anchor="`, anchor, `"`)
	}
	c.put(">", escape(s))
	if tip != "" {
		c.put("<title>", escape(tip), "</title>")
	}
	c.put("</text>\n")
}

// num writes a coordinate with at most one decimal.
func num(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

var entities = [...]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '"': "&quot;", '\'': "&#39;"}

// escape makes text safe in SVG and HTML. Names can come from a hostile guest: characters that XML forbids or that steer a
// display (controls, bidirectional overrides) become U+FFFD, and no text is longer than 300 characters.
func escape(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > 300 {
			b.WriteString("…")
			break
		}
		switch {
		case int(r) < len(entities) && entities[r] != "":
			b.WriteString(entities[r])
		case r == utf8.RuneError || !unicode.IsPrint(r):
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// fit shortens a text to about w units at a font size: a letter of the fonts above is 0.6 of the size wide on average.
func fit(s string, w, size float64) string {
	n := int(w / (0.6 * size))
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
