// Package statetest tests the methods State and SetState of a device: it saves a
// device in the middle of random activity, restores the state into a new device and
// requires that both behave alike from then on; and it gives a device states that
// were changed at random, as a hostile snapshot would.
package statetest

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
)

// Device is what can be saved and restored.
type Device interface {
	State() any
	SetState(any) error
}

// Rig is a device under test, with fakes for all that it drives.
type Rig interface {
	Device
	// Step does one random thing to the device: an access by the guest, input from
	// the host, time that passes. It returns what was observed meanwhile: values that
	// were read, changes of lines, messages, calls. What it does must depend on r
	// and on nothing else.
	Step(r *rand.Rand) string
}

// Accesses before and after the state is saved, in one comparison.
const (
	stepsBefore = 300
	stepsAfter  = 300
)

// Differential saves and restores a device n times, each time after other random
// activity, and compares original and copy.
func Differential(t *testing.T, n int, newRig func(testing.TB) Rig) {
	t.Helper()
	for seed := range uint64(n) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			a, b := newRig(t), newRig(t)
			before := rand.New(rand.NewPCG(seed, 1))
			for range before.IntN(stepsBefore) {
				a.Step(before)
			}
			saved := RoundTrip(t, a.State())
			if err := b.SetState(saved); err != nil {
				t.Fatalf("SetState: %v\nof %s", err, show(saved))
			}
			if again := RoundTrip(t, b.State()); !reflect.DeepEqual(again, saved) {
				t.Fatalf("the state differs at once:\nsaved    %s\nrestored %s", show(saved), show(again))
			}
			Compare(t, a, b, stepsAfter, seed)
		})
	}
}

// Compare does the same n random things to two devices and requires the same
// observations.
func Compare(t testing.TB, a, b Rig, n int, seed uint64) {
	t.Helper()
	ra, rb := rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 2))
	for i := range n {
		if want, got := a.Step(ra), b.Step(rb); got != want {
			t.Fatalf("step %d after the restore:\noriginal %s\nrestored %s", i, want, got)
		}
	}
	if sa, sb := RoundTrip(t, a.State()), RoundTrip(t, b.State()); !reflect.DeepEqual(sa, sb) {
		t.Fatalf("the states differ %d steps after the restore:\noriginal %s\nrestored %s", n, show(sa), show(sb))
	}
}

// RoundTrip returns a state as encoding/gob gives it back, and requires that
// encoding/json gives back the same.
func RoundTrip(t testing.TB, state any) any {
	t.Helper()
	if state == nil {
		return nil
	}
	kind := reflect.TypeOf(state)
	if kind.Kind() != reflect.Pointer || kind.Elem().Kind() != reflect.Struct {
		t.Fatalf("the state is a %T, not a pointer to a struct", state)
	}
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, fromGob := reflect.New(kind.Elem()).Interface(), reflect.New(kind.Elem()).Interface()
	if err := json.Unmarshal(text, fromJSON); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(state); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(&buf).Decode(fromGob); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(fromJSON, fromGob) || !reflect.DeepEqual(fromJSON, state) {
		t.Fatalf("encoding changes the state:\nstate %s\nJSON  %s\ngob   %s", show(state), show(fromJSON), show(fromGob))
	}
	return fromGob
}

func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// RefusesOthers requires that SetState takes nothing but its own kind of state,
// in its own version.
func RefusesOthers(t *testing.T, newRig func(testing.TB) Rig) {
	t.Helper()
	r := newRig(t)
	kind := reflect.TypeOf(r.State())
	other := reflect.New(kind.Elem())
	other.Elem().Set(reflect.ValueOf(r.State()).Elem())
	other.Elem().FieldByName("Version").SetInt(7)
	for _, v := range []any{nil, 1, struct{}{}, &struct{ Version int }{1}, reflect.Zero(kind).Interface(),
		reflect.ValueOf(r.State()).Elem().Interface(), other.Interface()} {
		if err := r.SetState(v); err == nil {
			t.Errorf("SetState takes the %T %+v", v, v)
		}
	}
}

// Fuzz changes saved states at random. A device must refuse such a state and stay
// as it was, or take it: then State gives back the same, and the device works.
// volatile, if not nil, clears what a restore does not keep.
func Fuzz(f *testing.F, newRig func(testing.TB) Rig, volatile func(state any)) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 3))
		in := make([]byte, instruction*int(seed))
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		f.Add(seed, in)
	}
	f.Fuzz(func(t *testing.T, seed uint64, in []byte) {
		a, b := newRig(t), newRig(t)
		r := rand.New(rand.NewPCG(seed, 4))
		for range r.IntN(60) {
			a.Step(r)
		}
		s := RoundTrip(t, a.State())
		Mutate(s, in)
		before := RoundTrip(t, b.State())
		want, err := before, b.SetState(s)
		if err == nil {
			want = s
		} else if len(in) < instruction {
			t.Fatalf("SetState refuses what State gave: %v", err)
		}
		got := RoundTrip(t, b.State())
		if volatile != nil {
			volatile(want)
			volatile(got)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("SetState: %v; the state is then\n%s, want\n%s", err, show(got), show(want))
		}
		for range 60 {
			b.Step(r)
		}
	})
}

// instruction is how many bytes describe one change: two select a field, one says
// what is done to it, five are the value.
const instruction = 8

// Mutate changes the state that v points to as in says.
func Mutate(v any, in []byte) {
	for ; len(in) >= instruction; in = in[instruction:] {
		var fields []reflect.Value
		collect(reflect.ValueOf(v), &fields)
		if len(fields) == 0 {
			return
		}
		x := uint64(in[3]) | uint64(in[4])<<8 | uint64(in[5])<<16 | uint64(in[6])<<24 | uint64(in[7])<<56
		change(fields[(int(in[0])|int(in[1])<<8)%len(fields)], in[2], x)
	}
}

// collect appends all that can be changed in v.
func collect(v reflect.Value, to *[]reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			collect(v.Elem(), to)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			collect(v.Field(i), to)
		}
	case reflect.Slice:
		*to = append(*to, v)
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			collect(v.Index(i), to)
		}
	default:
		if v.CanSet() {
			*to = append(*to, v)
		}
	}
}

func change(v reflect.Value, how byte, x uint64) {
	switch how % 4 {
	case 1:
		x &= 0xFF
	case 2:
		x = 1 << (x & 63) // one bit
	case 3:
		x = -x & 0xFF // for signed fields: see below
	}
	switch {
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.CanInt() && how%4 == 3:
		v.SetInt(-int64(x))
	case v.CanInt():
		v.SetInt(int64(x))
	case v.CanUint() && how%4 == 2:
		v.SetUint(v.Uint() ^ x)
	case v.CanUint():
		v.SetUint(x)
	case v.Kind() == reflect.Slice:
		resize(v, int(x%uint64(2*v.Len()+3)))
	}
}

// resize makes a slice shorter, or longer by copies of its elements.
func resize(v reflect.Value, n int) {
	old := v.Len()
	if n == 0 {
		v.SetZero() // as gob decodes an empty one
		return
	}
	s := reflect.MakeSlice(v.Type(), n, n)
	for i := range n {
		if old > 0 {
			s.Index(i).Set(v.Index(i % old))
		}
	}
	v.Set(s)
}
