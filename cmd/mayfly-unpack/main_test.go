package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/compression"
	"github.com/mayfly-vm/mayfly/internal/confine"
)

// beProgram makes this test the program, or what exceeds the program's limits.
const beProgram = "MAYFLY_TEST_BE"

func TestMain(m *testing.M) {
	switch os.Getenv(beProgram) {
	case "program":
		main()
	case "allocator":
		if err := confine.Companion(rights(1 << 20)); err != nil {
			fmt.Println(err)
			os.Exit(77)
		}
		b := make([]byte, memoryBytes)
		os.Exit(int(b[len(b)-1]))
	case "writer":
		if err := confine.Companion(rights(1000)); err != nil {
			fmt.Println(err)
			os.Exit(77)
		}
		n, err := os.Stdout.Write(make([]byte, 5000))
		if n != 1001 || !errors.Is(err, unix.EFBIG) {
			os.Exit(78)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type result struct {
	code   int
	out    []byte
	stderr string
}

func start(t *testing.T, be string, in []byte, args ...string) result {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var stderr bytes.Buffer
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = []string{beProgram + "=" + be}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), out, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), b, stderr.String()}
}

func sample(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../kernel/unpack/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestExitCodes(t *testing.T) {
	gz := sample(t, "sample.gz")
	flipped := bytes.Clone(gz)
	flipped[len(flipped)-6] ^= 1
	future := bytes.Clone(sample(t, "sample.xz"))
	future[7] = 0x0f // another check, which the header's own checksum doesn't know of
	for _, c := range []struct {
		name string
		in   []byte
		args string
		code int
		want string
	}{
		{"whole", gz, "gzip 604577", compression.ExitDone, ""},
		{"checksum", flipped, "gzip 604577", compression.ExitCorrupt, "gzip: "},
		{"header", future, "xz 604577", compression.ExitCorrupt, "xz: corrupt data: stream header"},
		{"cut", gz[:1000], "gzip 604577", compression.ExitTruncated, "gzip: unexpected EOF"},
		{"nothing", nil, "gzip 604577", compression.ExitTruncated, "unexpected EOF"},
		{"too long", gz, "gzip 604576", compression.ExitLimit, "over 604576"},
		{"another kind", gz, "rar 604577", compression.ExitFeature, "rar: uses a feature"},
		{"foreign", []byte("some text"), "none 100", compression.ExitForeign, "holds no ELF file"},
		{"no arguments", gz, "", compression.ExitUsage, "expected: mayfly-unpack KIND LIMIT"},
		{"no limit", gz, "gzip", compression.ExitUsage, "expected: "},
		{"limit of 0", gz, "gzip 0", compression.ExitUsage, `limit "0"`},
		{"limit is no number", gz, "gzip all", compression.ExitUsage, `limit "all"`},
		{"limit above all", gz, "gzip 9223372036854775807", compression.ExitUsage, "limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, "program", c.in, strings.Fields(c.args)...)
			if r.code != c.code || !strings.Contains(r.stderr, c.want) || strings.Count(r.stderr, "\n") > 1 {
				t.Errorf("code %d, want %d; message %q, want %q", r.code, c.code, r.stderr, c.want)
			}
			if c.code == compression.ExitDone && (len(r.out) != 604577 || r.stderr != "") {
				t.Errorf("%d bytes, message %q", len(r.out), r.stderr)
			}
			if c.code == compression.ExitForeign && string(r.out) != "some text" {
				t.Errorf("left %q to judge", r.out)
			}
			if c.code == compression.ExitLimit && len(r.out) > 604577 {
				t.Errorf("wrote %d bytes", len(r.out))
			}
		})
	}
}

// A pipe can't be written sparsely, and a file that isn't empty must not be overwritten.
func TestRefusesOtherOutput(t *testing.T) {
	cmd := exec.Command(os.Args[0], "gzip", "604577")
	cmd.Env = []string{beProgram + "=program"}
	cmd.Stdin = bytes.NewReader(sample(t, "sample.gz"))
	if out, err := cmd.Output(); err == nil || cmd.ProcessState.ExitCode() != compression.ExitUsage || len(out) != 0 {
		t.Errorf("to a pipe: %v, %d bytes", err, len(out))
	}
}

func TestConfined(t *testing.T) {
	if r := start(t, "writer", nil); r.code != 0 {
		t.Errorf("writing above the limit: code %d, %s", r.code, r.out)
	}
	if r := start(t, "allocator", nil); r.code != compression.ExitUsage || !strings.Contains(r.stderr, "out of memory") {
		t.Errorf("taking more memory than allowed: code %d, %.200s", r.code, r.stderr)
	}
}
