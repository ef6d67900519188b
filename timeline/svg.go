package timeline

import (
	"fmt"
	"io"
	"time"
)

// Measures of the picture, in SVG user units (pixels at 100 %).
const (
	width   = 960
	margin  = 28
	labelW  = 232                  // column of the rows' names
	plotX   = margin + labelW + 12 // where bars begin
	valueW  = 140                  // kept free to the right of the longest bar for its number
	plotW   = width - margin - valueW - plotX
	rowH    = 24
	barH    = 14
	maxRows = 40 // rows of one panel; what is left is named in a last line
)

// WriteSVG draws the snapshot as one SVG image that needs nothing from outside, for light and dark backgrounds. Set-up and
// guest have a scale of their own each: the first takes milliseconds, the second often seconds.
func (s Snapshot) WriteSVG(w io.Writer) error {
	_, err := w.Write(s.svg())
	return err
}

func (s Snapshot) svg() []byte {
	c := &canvas{}
	c.y = margin
	s.drawHead(c)
	s.drawOverview(c)
	setup, guest := s.phases()
	entered, split := s.At(GuestEntered)
	end := s.Total()
	if !split {
		entered = end
	}
	if len(setup) > 0 {
		c.panel("Set-up", duration(entered), 0, entered, "setup", setup, s.Spans)
	}
	if len(guest) > 0 {
		c.panel("Guest", duration(end-entered), entered, end, "guest", guest, s.Spans)
	}
	s.drawExits(c)
	if s.Dropped > 0 {
		c.y += 18
		c.text(margin, c.y, "muted", "start", fmt.Sprintf("%s more marks came than a timeline keeps.", thousands(s.Dropped)))
	}
	c.y += margin
	return c.document(s.heading())
}

func (s Snapshot) heading() string {
	if s.Title != "" {
		return s.Title
	}
	return "Timeline of a machine"
}

// phase is the time between a mark and the one before it.
type phase struct {
	name     string
	from, to time.Duration
	whole    time.Duration // of a span that a panel shows a part of; else 0
}

// phases parts the phases at the mark GuestEntered. Without one the guest never ran: all of it is set-up.
func (s Snapshot) phases() (setup, guest []phase) {
	var all []phase
	var from time.Duration
	split := -1
	for i, m := range s.Marks {
		all = append(all, phase{name: m.Name, from: from, to: m.At})
		from = m.At
		if m.Name == GuestEntered && split < 0 {
			split = i + 1
		}
	}
	if split < 0 {
		return all, nil
	}
	return all[:split], all[split:]
}

func (s Snapshot) drawHead(c *canvas) {
	c.y += 16
	c.text(margin, c.y, "title", "start", s.heading())
	if s.Detail != "" {
		c.y += 22
		c.text(margin, c.y, "muted", "start", s.Detail)
	}
	c.y += 18
	origin := s.Origin
	if origin == "" {
		origin = "start"
	}
	c.text(margin, c.y, "muted", "start", "Time zero: "+string(origin)+", "+s.Start.UTC().Format("2006-01-02 15:04:05.000")+" UTC")

	type tile struct{ value, label string }
	var tiles []tile
	if at, ok := s.At(GuestEntered); ok {
		tiles = append(tiles, tile{duration(at), "to first instruction"})
	}
	if at, ok := s.At(FirstOutput); ok {
		tiles = append(tiles, tile{duration(at), "to first output"})
	}
	if at, ok := s.At(Init); ok {
		tiles = append(tiles, tile{duration(at), "to init"})
	}
	tiles = append(tiles, tile{duration(s.Total()), "in all"})
	if len(s.VCPUs) > 0 {
		var n uint64
		for _, v := range s.VCPUs {
			n += v.Total()
		}
		tiles = append(tiles, tile{thousands(n), "exits of " + vcpus(len(s.VCPUs))})
	}
	c.y += 18
	tw := float64(width-2*margin+12) / float64(len(tiles))
	for i, t := range tiles {
		x := margin + float64(i)*tw
		c.rect(x, c.y, tw-12, 64, 6, "tile", "")
		c.text(x+14, c.y+32, "big", "start", t.value)
		c.text(x+14, c.y+51, "muted", "start", t.label)
	}
	c.y += 64
}

// drawOverview draws set-up and guest on one scale, so that the panels below can't deceive about their share.
func (s Snapshot) drawOverview(c *canvas) {
	end := s.Total()
	entered, ok := s.At(GuestEntered)
	if end <= 0 || !ok {
		return
	}
	const w = width - 2*margin
	c.y += 22
	x := max(float64(entered)/float64(end)*w, 3)
	c.rect(margin, c.y, min(x, w), 10, 2, "setup", "set-up: "+duration(entered))
	if end > entered && x+2 < w {
		c.rect(margin+x+2, c.y, w-x-2, 10, 2, "guest", "guest: "+duration(end-entered))
	}
	c.y += 26
	c.rect(margin, c.y-9, 10, 10, 2, "setup", "")
	c.text(margin+16, c.y, "small", "start", "set-up "+share(entered, end))
	c.rect(margin+130, c.y-9, 10, 10, 2, "guest", "")
	c.text(margin+146, c.y, "small", "start", "guest "+share(end-entered, end))
}

// panel draws phases between from and to, one row each like steps of a stair, then the spans that touch that time.
func (c *canvas) panel(name, total string, from, to time.Duration, class string, rows []phase, spans []Span) {
	c.heading(name, total)
	left := 0
	if len(rows) > maxRows {
		left = len(rows) - maxRows
		rows = rows[:maxRows]
	}
	var beside []phase
	for _, s := range spans {
		if s.To >= from && s.From < to || s.From == from && s.To == from {
			p := phase{name: s.Name, from: max(s.From, from), to: min(s.To, to)}
			if p.to-p.from < s.To-s.From {
				p.whole = s.To - s.From
			}
			beside = append(beside, p)
		}
		if len(beside) == maxRows {
			break
		}
	}
	scale := func(t time.Duration) float64 {
		if to <= from {
			return 0
		}
		return float64(t-from) / float64(to-from) * plotW
	}
	h := float64(len(rows)+len(beside)) * rowH
	c.axis(from, to, h, scale)
	for _, p := range rows {
		c.row(p, class, scale)
	}
	for _, p := range beside {
		c.row(p, class+" beside", scale)
	}
	if left > 0 {
		c.text(plotX-12, c.y+16, "muted", "end", fmt.Sprintf("and %s later marks", thousands(uint64(left))))
		c.y += rowH
	}
}

func (c *canvas) row(p phase, class string, scale func(time.Duration) float64) {
	value := duration(p.to - p.from)
	if p.whole > 0 {
		value += " of " + duration(p.whole)
	}
	tip := p.name + ": " + value + ", done at " + duration(p.to)
	c.label(p.name, tip)
	x, w := scale(p.from), scale(p.to)-scale(p.from)
	c.rect(plotX+x, c.y+(rowH-barH)/2, max(w, 1.5), barH, min(3, max(w, 1.5)/2), class, tip)
	c.text(plotX+x+max(w, 1.5)+8, c.y+17, "num", "start", value)
	c.y += rowH
}

// axis draws the grid of a panel, with times since the timeline's start at its top.
func (c *canvas) axis(from, to time.Duration, h float64, scale func(time.Duration) float64) {
	for _, t := range ticks(from, to) {
		x := plotX + scale(t)
		c.line(x, c.y+14, x, c.y+18+h, "grid")
		c.text(x, c.y+8, "tick", "middle", tickLabel(t))
	}
	c.y += 18
}

// heading starts a panel.
func (c *canvas) heading(name, total string) {
	c.y += 40
	c.text(margin, c.y, "head", "start", name)
	c.text(width-margin, c.y, "head", "end", total)
	c.y += 10
	c.line(margin, c.y, width-margin, c.y, "rule")
	c.y += 14
}

// label writes a row's name into the left column.
func (c *canvas) label(name, tip string) {
	c.textTip(plotX-12, c.y+17, "name", "end", fit(name, labelW-12, 13), tip)
}
