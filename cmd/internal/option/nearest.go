package option

import "strings"

// Nearest returns the one of words that was probably meant: the only one that begins so, or else the one that is fewest
// changes away, at most a third of its letters. Empty: nothing is near.
func Nearest(typed string, words []string) string {
	bare := strings.TrimLeft(typed, "-")
	if len(bare) > 64 {
		return ""
	}
	begin := ""
	for _, w := range words {
		if len(bare) >= 2 && strings.HasPrefix(w, typed) {
			if begin != "" {
				begin = ""
				break
			}
			begin = w
		}
	}
	if begin != "" {
		return begin
	}
	best, least := "", 0
	for _, w := range words {
		d := distance(typed, w)
		if d <= (len(strings.TrimLeft(w, "-"))+2)/3 && (best == "" || d < least) {
			best, least = w, d
		}
	}
	return best
}

// distance counts the changes from a to b: letters put in, left out, replaced, or swapped with their neighbour.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
