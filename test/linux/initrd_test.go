package linux

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/lab"
)

// TestSeveralInitrds gives three archives: Linux unpacks one after the other,
// plain or compressed, and of two files with one name the later counts.
func TestSeveralInitrds(t *testing.T) {
	// The plain ones have odd lengths: Linux wants the next at a multiple of four.
	plain := append(lab.Initramfs(map[string][]byte{"added": []byte("by the second"), "both": []byte("second")}), 0, 0, 0)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(lab.Initramfs(map[string][]byte{"packed": bytes.Repeat([]byte("third "), 20000), "both": []byte("third")}))
	z.Close()
	files := []string{initrdFile}
	for _, f := range []struct {
		name string
		data []byte
	}{{"plain", plain}, {"packed", packed.Bytes()}} {
		path := filepath.Join(t.TempDir(), f.name)
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	for _, load := range []mayfly.Load{mayfly.LoadMap, mayfly.LoadCopy} {
		t.Run(string(load), func(t *testing.T) {
			c := mayfly.Config{Kernel: smallKernel, Initrd: files, Load: load, Cmdline: words()}
			g := start(t, c)
			g.ends(mayfly.PowerOff)
			r := g.report()
			expect(t, c, g.vm.Plan(), r)
			expectFile(t, r, "added", []byte("by the second"))
			expectFile(t, r, "packed", bytes.Repeat([]byte("third "), 20000))
			expectFile(t, r, "both", []byte("third"))
		})
	}
}
