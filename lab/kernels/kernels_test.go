package kernels

import (
	"strings"
	"testing"
)

func TestNewestImageIsPicked(t *testing.T) {
	names := strings.Fields(`linux-image-6.12-amd64 linux-image-6.12-cloud-amd64 linux-image-6.12.9+deb12-amd64
		linux-image-6.12.117+deb12-amd64-dbg linux-image-6.12.117+deb12-amd64-unsigned linux-image-6.12.117+deb12-rt-amd64
		linux-image-6.12.117+deb12-amd64 linux-image-6.12.118+deb12-cloud-amd64-unsigned linux-image-6.12.117+deb12-cloud-amd64
		linux-image-6.1.0-56-amd64 linux-image-6.1.0-9-amd64`)
	for _, c := range []struct{ series, flavour, want string }{
		{"6.12", "amd64", "linux-image-6.12.117+deb12-amd64"},
		{"6.12", "cloud-amd64", "linux-image-6.12.118+deb12-cloud-amd64-unsigned"},
		{"6.1", "amd64", "linux-image-6.1.0-56-amd64"},
		{"6.13", "amd64", ""},
	} {
		if got := pickImage(names, c.series, c.flavour); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.series, c.flavour, got, c.want)
		}
	}
}

func TestLostConfigurationIsNoticed(t *testing.T) {
	const fragment = "CONFIG_A=y\n# comment\n# CONFIG_B is not set\nCONFIG_C=\"x\"\n"
	if err := checkConfig(fragment, "CONFIG_A=y\nCONFIG_C=\"x\"\n"); err != nil {
		t.Error(err)
	}
	err := checkConfig(fragment, "# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=\"x\"\n")
	if err == nil || !strings.Contains(err.Error(), "CONFIG_A=y, # CONFIG_B is not set") {
		t.Errorf("error %v", err)
	}
}

func TestVariantWithoutPVHDiffersInNothingElse(t *testing.T) {
	plain, without := fragment(Microvm), fragment(MicrovmNoPVH)
	if !strings.Contains(plain, "\nCONFIG_PVH=y\n") || strings.Contains(without, "CONFIG_PVH=y") || !strings.Contains(without, "# CONFIG_PVH is not set") {
		t.Error("the fragments do not differ in CONFIG_PVH")
	}
	if len(strings.Split(without, "\n")) < len(strings.Split(plain, "\n")) {
		t.Error("the variant lost lines")
	}
	if fragmentKey(Microvm) == fragmentKey(MicrovmNoPVH) {
		t.Error("both have the same key")
	}
}
