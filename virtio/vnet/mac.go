package vnet

import (
	"errors"
	"fmt"
	"strings"
)

// MAC is an Ethernet address.
type MAC [6]byte

// String is the usual form.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

var errMAC = errors.New("a MAC address has the form 02:00:00:12:34:56")

// ParseMAC reads the usual form. A card's own address is neither zero nor a
// group's.
func ParseMAC(s string) (m MAC, err error) {
	parts := strings.Split(s, ":")
	if len(parts) != len(m) {
		return m, fmt.Errorf("%q: %w", s, errMAC)
	}
	for i, p := range parts {
		if len(p) != 2 {
			return m, fmt.Errorf("%q: %w", s, errMAC)
		}
		hi, lo := hexDigit(p[0]), hexDigit(p[1])
		if hi < 0 || lo < 0 {
			return m, fmt.Errorf("%q: %w", s, errMAC)
		}
		m[i] = byte(hi<<4 | lo)
	}
	switch {
	case m == MAC{}:
		return m, fmt.Errorf("%q: all zeroes is nobody's address", s)
	case m[0]&1 != 0:
		return m, fmt.Errorf("%q: the first byte is odd, which makes it a group's address; a card's is even", s)
	}
	return m, nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// GenerateMAC makes an address of a name, the same each time: locally
// administered (bit 1 of the first byte), no group's (bit 0).
func GenerateMAC(name string) (m MAC) {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	h ^= h >> 33 // the upper bytes of a short name have hardly changed
	h *= 0xff51afd7ed558ccd
	for i := range m {
		m[i] = byte(h >> (56 - 8*i))
	}
	m[0] = m[0]&^1 | 2
	return m
}
