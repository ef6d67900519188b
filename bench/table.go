package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// table is printed as Markdown, columns padded so that it reads well as text.
type table struct {
	title string
	rows  [][]string // the first is the head
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print() {
	width := make([]int, len(t.rows[0]))
	for _, r := range t.rows {
		for i, c := range r {
			width[i] = max(width[i], len(c))
		}
	}
	line := func(r []string) {
		for i, c := range r {
			fmt.Printf("| %-*s ", width[i], c)
		}
		fmt.Println("|")
	}
	fmt.Printf("\n### %s\n\n", t.title)
	line(t.rows[0])
	for _, w := range width {
		fmt.Print("|", strings.Repeat("-", w+2))
	}
	fmt.Println("|")
	for _, r := range t.rows[1:] {
		line(r)
	}
}

func median[T time.Duration | int64 | float64](v []T) T {
	if len(v) == 0 {
		return 0
	}
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1e3) }
func mib(n int64) string        { return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20)) }

func ratio(a, b time.Duration) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}
