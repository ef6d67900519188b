package timeline

import "io"

const pageStyle = `body{margin:0;background:#fff;color:#1f2937;font:14px/1.5 system-ui,-apple-system,"Segoe UI",Arial,sans-serif}
main{max-width:960px;margin:0 auto;padding:8px 0 48px}svg{display:block;width:100%;height:auto}
details{margin:0 28px 12px}summary{cursor:pointer;font-weight:600;padding:6px 0}
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:600}td,th{padding:3px 12px 3px 0;border-bottom:1px solid #e5e8ee}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
@media (prefers-color-scheme:dark){body{background:#14171c;color:#e6e9ef}td,th{border-color:#2a303a}}`

// WriteHTML writes a page that needs nothing from outside: the picture of [Snapshot.WriteSVG], and the numbers as tables.
func (s Snapshot) WriteHTML(w io.Writer) error {
	var c canvas
	c.put("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n",
		"<title>", escape(s.heading()), "</title>\n<style>", pageStyle, "</style>\n</head>\n<body>\n<main>\n")
	c.b = append(c.b, s.svg()...)
	s.marksTable(&c)
	s.exitsTable(&c)
	c.put("</main>\n</body>\n</html>\n")
	_, err := w.Write(c.b)
	return err
}

func (s Snapshot) marksTable(c *canvas) {
	c.put("<details><summary>Marks</summary>\n<table>\n<tr><th>Mark<th>Set by<th class=n>At<th class=n>Since the one before</tr>\n")
	setup, guest := s.phases()
	for i, p := range append(setup[:len(setup):len(setup)], guest...) {
		c.put("<tr><td>", escape(p.name), "<td>", escape(string(s.Marks[i].By)), "<td class=n>", duration(p.to), "<td class=n>", duration(p.to-p.from), "</tr>\n")
	}
	c.put("</table></details>\n")
	if len(s.Spans) == 0 {
		return
	}
	c.put("<details><summary>Beside the main line</summary>\n<table>\n<tr><th>Work<th class=n>From<th class=n>To<th class=n>Time</tr>\n")
	for _, p := range s.Spans {
		c.put("<tr><td>", escape(p.Name), "<td class=n>", duration(p.From), "<td class=n>", duration(p.To), "<td class=n>", duration(p.To-p.From), "</tr>\n")
	}
	c.put("</table></details>\n")
}

func (s Snapshot) exitsTable(c *canvas) {
	if len(s.VCPUs) == 0 {
		return
	}
	c.put("<details><summary>Exits</summary>\n<table>\n<tr><th>vCPU<th>Kind<th class=n>Exits</tr>\n")
	for _, v := range s.VCPUs {
		for _, e := range v.Exits {
			c.put("<tr><td>", thousands(uint64(v.ID)), "<td>", escape(e.Kind), "<td class=n>", thousands(e.Count), "</tr>\n")
		}
	}
	c.put("</table></details>\n")
}
