package serial

import "fmt"

// maxPatterns is how many patterns one Scanner takes: a bit each.
const maxPatterns = 64

// maxPattern is the length of the longest pattern, in bytes.
const maxPattern = 0xFFFF

// Scanner finds fixed strings in a stream of bytes, such as the lines that a kernel
// prints when it starts init or panics. It keeps no data, and
// each byte costs a few nanoseconds and no allocation.
//
// What it finds is a hint: a program in the guest can print the same text.
type Scanner struct {
	found    func(pattern int)
	patterns []pattern
	first    [4]uint64 // the set of the patterns' first bytes
	active   bool      // some pattern has begun
}

// pattern is one string and how far the stream has come in it (Knuth, Morris
// and Pratt's automaton).
type pattern struct {
	text string
	back []uint16 // back[i]: longest proper prefix of text[:i+1] that also ends it
	at   int
}

// NewScanner makes a Scanner that calls found with the index of a pattern each
// time that the pattern was seen. Matches may overlap. It takes up to 64
// patterns of 1 to 65535 bytes.
func NewScanner(found func(pattern int), patterns ...string) (*Scanner, error) {
	if len(patterns) > maxPatterns {
		return nil, fmt.Errorf("serial: %d patterns to scan for; at most %d are possible", len(patterns), maxPatterns)
	}
	s := &Scanner{found: found, patterns: make([]pattern, len(patterns))}
	for i, text := range patterns {
		if len(text) == 0 || len(text) > maxPattern {
			return nil, fmt.Errorf("serial: pattern %d to scan for has %d bytes; 1 to %d are possible", i, len(text), maxPattern)
		}
		back := make([]uint16, len(text))
		for j, k := 1, 0; j < len(text); j++ {
			for k > 0 && text[j] != text[k] {
				k = int(back[k-1])
			}
			if text[j] == text[k] {
				k++
			}
			back[j] = uint16(k)
		}
		s.patterns[i] = pattern{text: text, back: back}
		s.first[text[0]>>6] |= 1 << (text[0] & 63)
	}
	return s, nil
}

// Scan takes the next bytes of the stream.
func (s *Scanner) Scan(p []byte) {
	for _, b := range p {
		if hits := s.step(b); hits != 0 {
			s.report(hits)
		}
	}
}

// Reset forgets what the stream has begun.
func (s *Scanner) Reset() {
	for i := range s.patterns {
		s.patterns[i].at = 0
	}
	s.active = false
}

// progress returns the longest beginning of a pattern that ends the stream, nil if
// there is none. Each pattern's progress follows from it, whatever the others are.
func (s *Scanner) progress() []byte {
	text := ""
	for i := range s.patterns {
		if p := &s.patterns[i]; p.at > len(text) {
			text = p.text[:p.at]
		}
	}
	if text == "" {
		return nil
	}
	return []byte(text)
}

// restore continues a stream whose progress was saved. Patterns that the saved text
// contains were reported before.
func (s *Scanner) restore(progress []byte) {
	s.Reset()
	for _, b := range progress {
		s.step(b)
	}
}

// step takes one byte and returns a bit for each pattern that it completes.
func (s *Scanner) step(b byte) (hits uint64) {
	if !s.active && s.first[b>>6]>>(b&63)&1 == 0 {
		return 0
	}
	s.active = false
	for i := range s.patterns {
		p := &s.patterns[i]
		k := p.at
		for k > 0 && p.text[k] != b {
			k = int(p.back[k-1])
		}
		if p.text[k] == b {
			k++
		}
		if k == len(p.text) {
			hits |= 1 << i
			k = int(p.back[k-1])
		}
		p.at = k
		s.active = s.active || k > 0
	}
	return hits
}

func (s *Scanner) report(hits uint64) {
	for i := 0; hits != 0; i, hits = i+1, hits>>1 {
		if hits&1 != 0 {
			s.found(i)
		}
	}
}
