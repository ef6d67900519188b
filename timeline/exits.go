package timeline

import (
	"fmt"
	"slices"
	"strconv"
)

const (
	hues     = 8  // classes k0…k7 of the style; the last one is for all the rest
	maxVCPUs = 32 // rows of vCPUs; what is left is summed in one
)

// drawExits draws the exits by kind over all vCPUs, then each vCPU's, in the same colours.
func (s Snapshot) drawExits(c *canvas) {
	kinds := s.Exits()
	if len(kinds) == 0 {
		return
	}
	var total uint64
	hue := make(map[string]int, len(kinds)) // kind -> its place, which gives colour and order
	for i, e := range kinds {
		total += e.Count
		hue[e.Kind] = i
	}
	c.heading("Exits", thousands(total))
	c.y -= 6
	shown := kinds[:min(len(kinds), maxRows)]
	for _, e := range shown {
		w := float64(e.Count) / float64(kinds[0].Count) * plotW
		tip := fmt.Sprintf("%s: %s exits, %.1f %%", e.Kind, thousands(e.Count), 100*float64(e.Count)/float64(total))
		c.label(e.Kind, tip)
		c.rect(plotX, c.y+(rowH-barH)/2, max(w, 1.5), barH, min(3, max(w, 1.5)/2), class(hue[e.Kind]), tip)
		c.text(plotX+max(w, 1.5)+8, c.y+17, "num", "start", thousands(e.Count))
		c.y += rowH
	}
	if left := len(kinds) - len(shown); left > 0 {
		c.text(plotX-12, c.y+16, "muted", "end", fmt.Sprintf("and %d rarer kinds", left))
		c.y += rowH
	}
	if len(s.VCPUs) < 2 {
		return
	}
	c.y += 10
	rows := s.VCPUs
	var rest VCPU
	if len(rows) > maxVCPUs {
		rest = VCPU{Exits: Snapshot{VCPUs: rows[maxVCPUs-1:]}.Exits()}
		rows = rows[:maxVCPUs-1]
	}
	most := rest.Total()
	for _, v := range rows {
		most = max(most, v.Total())
	}
	for _, v := range rows {
		c.stack("vCPU "+strconv.Itoa(v.ID), v, most, hue)
	}
	if rest.Exits != nil {
		c.stack(fmt.Sprintf("the other %d", len(s.VCPUs)-len(rows)), rest, most, hue)
	}
}

// stack draws one vCPU's exits as parts of one bar; most is the count that fills the plot's width.
func (c *canvas) stack(name string, v VCPU, most uint64, hue map[string]int) {
	c.label(name, name+": "+thousands(v.Total())+" exits")
	x := float64(plotX)
	list := slices.Clone(v.Exits)
	slices.SortFunc(list, func(a, b Exit) int { return hue[a.Kind] - hue[b.Kind] })
	for _, e := range list {
		w := float64(e.Count) / float64(max(most, 1)) * plotW
		tip := name + ", " + e.Kind + ": " + thousands(e.Count)
		// One unit of background parts neighbours, for eyes that can't distinguish their colours.
		c.rect(x, c.y+(rowH-barH)/2, max(w-1, 0.5), barH, 0, class(hue[e.Kind]), tip)
		x += w
	}
	c.text(x+8, c.y+17, "num", "start", thousands(v.Total()))
	c.y += rowH
}

func class(place int) string { return "k" + strconv.Itoa(min(place, hues-1)) }
