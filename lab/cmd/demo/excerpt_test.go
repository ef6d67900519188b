package main

import (
	"fmt"
	"strings"
	"testing"
)

// The first lines and those from the init's on are shown, however they arrive.
func TestExcerpt(t *testing.T) {
	var text, want strings.Builder
	for i := range firstLines + 3 {
		fmt.Fprintf(&text, "line %d\r\n", i)
		if i < firstLines {
			fmt.Fprintf(&want, "line %d\n", i)
		}
	}
	text.WriteString("init\r\nPower down\r\n")
	want.WriteString("… 3 lines more, then the init's:\ninit\nPower down\n")
	for _, size := range []int{1, 7, text.Len()} {
		var got strings.Builder
		e := excerpt{to: &got}
		for rest := text.String(); rest != ""; rest = rest[min(size, len(rest)):] {
			if n, err := e.Write([]byte(rest[:min(size, len(rest))])); n == 0 || err != nil {
				t.Fatal(n, err)
			}
		}
		if got.String() != want.String() || !e.init {
			t.Errorf("in pieces of %d: %q, want %q", size, &got, &want)
		}
	}
}

// A kernel that ends early has no init.
func TestExcerptWithoutInit(t *testing.T) {
	var got strings.Builder
	e := excerpt{to: &got}
	if _, err := e.Write([]byte("Run /init as init process\r\ninit")); err != nil || e.init {
		t.Error(err, e.init)
	}
	if want := "Run /init as init process\n"; got.String() != want {
		t.Errorf("%q, want %q", &got, want)
	}
}
