package ask_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
)

func TestLinesComeBack(t *testing.T) {
	q := ask.Question{ID: 7, Verb: "fill", Args: map[string]string{"path": "/dev/vda", "off": "0", "direct": ""}}
	if got, err := ask.ParseQuestion(q.String()); err != nil || !reflect.DeepEqual(got, q) {
		t.Errorf("%+v, %v", got, err)
	}
	a := ask.Answer{ID: 7, Error: "write: input/output error", Errno: "EIO", Values: map[string]string{"a": "1"}}
	if got, ok, err := ask.ParseAnswer(a.Line()); err != nil || !ok || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %t, %v", got, ok, err)
	}
	for _, line := range []string{"", "@", "@x y z", "init", "1"} {
		if _, ok, _ := ask.ParseAnswer(line); ok {
			t.Errorf("%q is taken for an answer", line)
		}
		if _, err := ask.ParseQuestion(line); err == nil {
			t.Errorf("%q is taken for a question", line)
		}
	}
	if _, ok, err := ask.ParseAnswer("@7 00000000 {}\n"); !ok || err == nil {
		t.Error("a wrong sum is not noticed")
	}
}

// TestPatternIsTheSameInPieces reads it from odd offsets on.
func TestPatternIsTheSameInPieces(t *testing.T) {
	whole := ask.Pattern(3, 0, 100)
	for off := range 20 {
		for n := range 40 {
			if got := ask.Pattern(3, uint64(off), n); !bytes.Equal(got, whole[off:off+n]) {
				t.Fatalf("%d bytes from %d on differ", n, off)
			}
		}
	}
	if bytes.Equal(ask.Pattern(4, 0, 100), whole) || ask.Mismatch(whole[5:], 3, 5) != -1 || ask.Mismatch(append(bytes.Clone(whole[:50]), 0, 0), 3, 0) != 50 {
		t.Error("seeds or mismatches are wrong")
	}
}
