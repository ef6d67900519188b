package main

import "testing"

func TestFoundAndAllowed(t *testing.T) {
	found, err := parseFound([]byte(`[{"Path": "github.com/mayfly-vm/mayfly/pvh", "Funcs": [
		{"Name": "ParseMap", "Position": {"File": "/src/pvh/memmap.go", "Line": 3}},
		{"Name": "Note.End", "Position": {"File": "pvh/note.go", "Line": 4}},
		{"Name": "other", "Position": {"File": "/src/pvh/note.go", "Line": 5}}]}]`), "/src")
	if err != nil || len(found) != 3 || found[2].String() != "pvh/note.go:5: other" {
		t.Fatalf("%v, %v", found, err)
	}
	a, err := parseAllowed("# a comment\n\npvh/memmap.go: a file\npvh.Note.End: a method\npvh.Gone: never found\n")
	if err != nil {
		t.Fatal(err)
	}
	if !a.has(found[0]) || !a.has(found[1]) || a.has(found[2]) || a["pvh.Gone"] {
		t.Errorf("%v", a)
	}
	if _, err := parseAllowed("pvh.Note.End\n"); err == nil {
		t.Error("an entry without a reason was taken")
	}
}

func TestPackagesForTests(t *testing.T) {
	for pkg, want := range map[string]bool{
		"": false, "pvh": false, "virtio/virtiotest": true, "internal/headertest": true, "lab/kernels": true, "guest/check": true, "labels": false,
	} {
		if forTests(pkg) != want {
			t.Errorf("%q: %v", pkg, !want)
		}
	}
}
