package kernel

import (
	"bytes"
	"strings"
)

const banner = "Linux version "

// Version is Linux's version text, such as "6.12.5 (user@host) #1 SMP …", or ""
// if none is found. A bzImage names it in its header; an ELF file is searched
// for it when first asked, which takes milliseconds.
func (im *Image) Version() string {
	if !im.versionHas {
		im.version, im.versionHas = im.scanVersion(), true
	}
	return im.version
}

// scanVersion reads the segments in pieces: a mapping would raise SIGBUS if the
// file became shorter.
func (im *Image) scanVersion() string {
	const keep = 512 // how much of a banner that a piece cuts is seen again
	buf := make([]byte, 1<<20)
	weak := "" // since 6.1 there is a second banner, without the build's number
	for i := range im.Segments {
		s := &im.Segments[i]
		for at := uint64(0); at < s.Filesz; at += uint64(len(buf) - keep) {
			n, err := readAt(im.File, buf[:min(uint64(len(buf)), s.Filesz-at)], int64(s.Offset+at))
			if err != nil {
				return ""
			}
			v, sure := findBanner(buf[:n])
			if sure {
				return v
			}
			if weak == "" {
				weak = v
			}
		}
		if weak != "" {
			break // the other one would have been in the same segment
		}
	}
	return weak
}

// findBanner returns what follows the banner's start where it begins as a version does;
// sure says that it is the one with the build's number.
func findBanner(b []byte) (found string, sure bool) {
	for {
		i := bytes.Index(b, []byte(banner))
		if i < 0 {
			return found, false
		}
		b = b[i+len(banner):]
		end := bytes.IndexAny(b[:min(len(b), 512)], "\n\x00")
		if end <= 0 || b[0] < '1' || b[0] > '9' || bytes.IndexByte(b[:end], '.') < 0 {
			continue
		}
		found = printable(string(b[:end]))
		if n := strings.Index(found, " #"); n < 0 || n+2 < len(found) && found[n+2] != ' ' {
			return found, true
		}
	}
}

// Release is Version's first word, such as "6.12.5-cloud-amd64".
func (im *Image) Release() string {
	r, _, _ := strings.Cut(im.Version(), " ")
	return r
}

// release splits "4.19.0-1" into 4 and 19; ok reports whether it could.
func release(version string) (major, minor int, ok bool) {
	number := func(s string) (int, string) {
		n, i := 0, 0
		for i < len(s) && i < 4 && s[i] >= '0' && s[i] <= '9' {
			n, i = n*10+int(s[i]-'0'), i+1
		}
		if i == 0 {
			return -1, s
		}
		return n, s[i:]
	}
	major, rest := number(version)
	if major < 0 || !strings.HasPrefix(rest, ".") {
		return 0, 0, false
	}
	minor, _ = number(rest[1:])
	return major, minor, minor >= 0
}

// printable keeps what a file says from acting on a terminal.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f {
			return -1
		}
		return r
	}, s))
}
