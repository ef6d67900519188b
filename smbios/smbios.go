// Package smbios builds the tables that identify a machine: manufacturer, serial
// number, UUID, and strings of its owner (SMBIOS 3.7, DMTF DSP0134). systemd reads
// credentials from the latter: Credential makes such a string.
//
// A guest without EFI searches for the entry point at each multiple of 16 from
// 0xF0000 to 0xFFFFF. The package imports the standard library alone.
package smbios

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Where a guest searches for the entry point.
const (
	ScanBase = 0xF0000
	ScanEnd  = 0x100000
	Align    = 16
)

// Causes, for errors.Is.
var (
	ErrConfig = errors.New("invalid configuration")
	ErrPlace  = errors.New("tables don't fit")
)

// Bounds of a Config.
const (
	MaxString  = 1 << 15
	MaxStrings = 255 // OEM strings: their count is a byte
)

// Config is the contents of the tables. The zero value of each field is its default.
type Config struct {
	Manufacturer string // "": Mayfly
	Product      string // "": microVM
	Version      string
	Serial       string // the machine's serial number
	SKU, Family  string
	AssetTag     string
	// UUID is the machine's, as in "123e4567-…", byte 0 first; all zeroes: none.
	UUID [16]byte
	// OEM are strings without a meaning of SMBIOS's own, at most 255.
	OEM []string

	CPUs   int    // processors, as cores of one socket; 0: not described
	Memory uint64 // bytes of RAM; 0: not described
}

// Credential is the OEM string by which systemd in the guest gets a credential.
// Values that are no plain text travel in base64.
func Credential(name, value string) (string, error) {
	if name == "" || len(name) > 255 || strings.ContainsAny(name, "=/: ") || !printable(name) {
		return "", fmt.Errorf("smbios: %w: a credential's name is 1 to 255 characters of ASCII without '=', '/', ':' and blanks, not %q", ErrConfig, name)
	}
	if !printable(value) || value != strings.TrimSpace(value) {
		return "io.systemd.credential.binary:" + name + "=" + base64.StdEncoding.EncodeToString([]byte(value)), nil
	}
	return "io.systemd.credential:" + name + "=" + value, nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// check reports what can't be encoded. Strings end with a NUL, and an empty one would
// end the structure.
func (c *Config) check() error {
	if len(c.OEM) > MaxStrings {
		return fmt.Errorf("smbios: %w: %d OEM strings; at most %d", ErrConfig, len(c.OEM), MaxStrings)
	}
	if c.CPUs < 0 || c.CPUs > 1<<16-2 {
		return fmt.Errorf("smbios: %w: %d processors", ErrConfig, c.CPUs)
	}
	one := func(field, s string) error {
		if i := strings.IndexByte(s, 0); i >= 0 {
			return fmt.Errorf("smbios: %w: %s: a NUL at byte %d", ErrConfig, field, i)
		}
		if len(s) > MaxString {
			return fmt.Errorf("smbios: %w: %s: %d bytes; at most %d", ErrConfig, field, len(s), MaxString)
		}
		return nil
	}
	for _, f := range [...]struct{ field, s string }{{"manufacturer", c.Manufacturer}, {"product", c.Product}, {"version", c.Version},
		{"serial", c.Serial}, {"sku", c.SKU}, {"family", c.Family}, {"asset tag", c.AssetTag}} {
		if err := one(f.field, f.s); err != nil {
			return err
		}
	}
	for i, s := range c.OEM {
		if err := one(fmt.Sprintf("OEM string %d", i+1), s); err != nil {
			return err
		}
		if s == "" {
			return fmt.Errorf("smbios: %w: OEM string %d is empty", ErrConfig, i+1)
		}
	}
	return nil
}

// Build returns the entry point for address base, a multiple of 16 from ScanBase
// on, followed by the tables; all of it ends at or below ScanEnd.
func Build(base uint64, c Config) ([]byte, error) {
	if base < ScanBase || base >= ScanEnd || base%Align != 0 {
		return nil, fmt.Errorf("smbios: %w at %#x: expected a multiple of %d from %#x to %#x", ErrPlace, base, Align, ScanBase, ScanEnd)
	}
	entry, table, err := Split(base+entryRoom, c)
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, entryRoom+len(table)), entry...)
	b = append(b, make([]byte, entryRoom-len(entry))...)
	b = append(b, table...)
	if uint64(len(b)) > ScanEnd-base {
		return nil, fmt.Errorf("smbios: %w: %d bytes at %#x must end at or below %#x: fewer or shorter OEM strings do", ErrPlace, len(b), base, ScanEnd)
	}
	return b, nil
}

// Split returns the entry point, for any multiple of 16 from ScanBase on, and the
// tables for address table, anywhere in reserved memory: for more OEM strings than
// Build has room for.
func Split(table uint64, c Config) (entry, tables []byte, err error) {
	if err := c.check(); err != nil {
		return nil, nil, err
	}
	tables = c.tables()
	return entryPoint(table, len(tables)), tables, nil
}
