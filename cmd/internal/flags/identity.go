package flags

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/smbios"
)

// smbiosKeys are the identity of a machine, in its SMBIOS tables.
func smbiosKeys(s *smbios.Config) *option.Group {
	text := func(key string, p *string, help string) option.Flag {
		return option.Flag{Name: key, Arg: "TEXT", Help: help, Value: ascii(p, 255)}
	}
	return &option.Group{Keys: []option.Flag{
		text("serial", &s.Serial, "the machine's serial number"),
		{Name: "uuid", Arg: "UUID", Help: "the machine's UUID", Value: uuid(&s.UUID)},
		{Name: "oem", Arg: "TEXT", Many: true, Help: "a string with a meaning of its own to the guest", Value: option.Texts(&s.OEM)},
		{Name: "credential", Arg: "NAME=VALUE", Many: true, Help: "a credential for systemd in the guest: an oem string of its form", Value: credential(&s.OEM)},
		{Name: "credential-file", Arg: "NAME=FILE", Many: true, Help: "the same with what is in FILE", Value: credentialFile(&s.OEM)},
		text("manufacturer", &s.Manufacturer, "who made the machine (default: Mayfly)"),
		text("product", &s.Product, "what it is called (default: microVM)"),
		text("version", &s.Version, "its version"),
		text("sku", &s.SKU, "its stock-keeping unit"),
		text("family", &s.Family, "its family"),
		text("asset-tag", &s.AssetTag, "its asset tag"),
	}}
}

// uuid is written as 123e4567-e89b-12d3-a456-426614174000.
func uuid(p *[16]byte) option.Value {
	return option.Own("^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
		func(s string) error {
			if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
				return errors.New("not a UUID; one is written 123e4567-e89b-12d3-a456-426614174000")
			}
			b, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
			if err != nil {
				return errors.New("not a UUID; one is written 123e4567-e89b-12d3-a456-426614174000")
			}
			if slices.Max(b) == 0 {
				return errors.New("all zeroes is no UUID; leave it out")
			}
			copy(p[:], b)
			return nil
		},
		func() []string {
			if *p == [16]byte{} {
				return nil
			}
			return []string{fmt.Sprintf("%x-%x-%x-%x-%x", p[:4], p[4:6], p[6:8], p[8:10], p[10:])}
		})
}

// maxCredential is the longest file of a credential, in bytes: the tables that carry it are small.
const maxCredential = 16 << 10

// credential adds an OEM string, as which it is written to a configuration file.
func credential(oem *[]string) option.Value {
	return option.Own("^[^=]+=",
		func(s string) error {
			name, value, ok := strings.Cut(s, "=")
			if !ok {
				return errors.New("found no =; write NAME=VALUE")
			}
			return addCredential(oem, name, value)
		},
		func() []string { return nil })
}

func credentialFile(oem *[]string) option.Value {
	return option.Own("^[^=]+=.",
		func(s string) error {
			name, path, ok := strings.Cut(s, "=")
			if !ok || path == "" {
				return errors.New("found no =; write NAME=FILE")
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			b, err := io.ReadAll(io.LimitReader(f, maxCredential+1))
			if err != nil {
				return err
			}
			if len(b) > maxCredential {
				return fmt.Errorf("the file has more than %d KiB", maxCredential>>10)
			}
			return addCredential(oem, name, string(b))
		},
		func() []string { return nil })
}

func addCredential(oem *[]string, name, value string) error {
	text, err := smbios.Credential(name, value)
	if err != nil {
		return err
	}
	*oem = append(*oem, text)
	return nil
}
