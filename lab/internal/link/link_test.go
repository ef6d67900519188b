package link

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestFramesComeBackAsTheyWereWritten(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	big := bytes.Repeat([]byte("mayfly"), MaxPayload/3)
	for _, p := range [][]byte{nil, []byte("x"), big} {
		if err := w.Write(Stdout, p); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	frames := 0
	for ; ; frames++ {
		k, p, err := Read(&b)
		if err == io.EOF {
			break
		}
		if err != nil || k != Stdout {
			t.Fatalf("frame %d: kind %q, %v", frames, k, err)
		}
		got = append(got, p...)
	}
	if want := append([]byte("x"), big...); !bytes.Equal(got, want) || frames != 4 {
		t.Fatalf("%d frames with %d bytes came back, want 4 with %d", frames, len(got), len(want))
	}
}

func TestDamageIsNoticed(t *testing.T) {
	var b bytes.Buffer
	NewWriter(&b).Write(Exit, []byte("payload"))
	whole := b.Bytes()
	for i, want := range map[int]string{0: "out of step", 8: "more than", 9: "CRC", headerSize: "CRC"} {
		p := bytes.Clone(whole)
		p[i] ^= 0x80
		if _, _, err := Read(bytes.NewReader(p)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("byte %d flipped: error %v, want one with %q", i, err, want)
		}
	}
	for n := 1; n < len(whole); n++ {
		if _, _, err := Read(bytes.NewReader(whole[:n])); err != io.ErrUnexpectedEOF {
			t.Errorf("cut to %d bytes: error %v", n, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	NewWriter(&b).Write(File, AppendFilePiece(nil, "name", []byte("data")))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, p []byte) {
		if k, payload, err := Read(bytes.NewReader(p)); err == nil && k == File {
			FilePiece(payload)
		}
	})
}
