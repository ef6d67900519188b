package doctor

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft"
	"github.com/mayfly-vm/mayfly/kvm"
)

// Auto is the processor that --cpu=auto takes, by its name there; empty: none can run such a guest.
type Auto struct {
	Linux string `json:"linux"`
	Small string `json:"small"` // a guest that needs little of a processor, as mayfly check's
}

// The processors' names.
const (
	byKVM  = "kvm"
	bySoft = "soft"
)

// auto says what --cpu=auto takes; unusable is why KVM cannot be used, or nil.
func (h Host) auto(r *Report, unusable error) {
	small, linux := unusable, unusable
	if linux == nil && h.loaded("kvm_pvm") {
		linux = errors.New("kvm_pvm cannot run Linux")
	}
	r.Auto.Small = h.takes(r, "small guests", small)
	r.Auto.Linux = h.takes(r, "Linux", linux)
}

// takes adds a line for a kind of guest that KVM cannot run because of why, and returns the processor's name.
func (h Host) takes(r *Report, guests string, why error) string {
	name := "--cpu=auto, " + guests
	if why == nil {
		r.add(name, OK, "KVM", "")
		return byKVM
	}
	if h.Device != kvm.DefaultPath {
		r.add(name, Fail, fmt.Sprintf("nothing: %v, and auto takes no other than the device that --kvm names", why), "leave --kvm out, or give mayfly run --cpu=soft")
		return ""
	}
	do := "KVM would be faster: see what the lines above say of it"
	if errors.Is(why, fs.ErrPermission) {
		do = h.openAdvice(why) + "; then KVM, which is faster, runs them"
	}
	if err := h.Soft(); err != nil {
		s := Note
		if r.Auto.Small == "" {
			s = Fail
		}
		r.add(name, s, fmt.Sprintf("nothing: %v; the software processor: %v", why, err),
			soft.ExecutionAdvice+", or use a host with kvm_intel or kvm_amd")
		return ""
	}
	r.add(name, Note, fmt.Sprintf("the software processor, which is slower: %v", h.reason(why)), do)
	return bySoft
}

// reason names the group that may open the device.
func (h Host) reason(why error) string {
	if !errors.Is(why, fs.ErrPermission) {
		return why.Error()
	}
	g := h.group(h.Owner(h.Device))
	if g == "" || g == "root" {
		return why.Error() + "; only root may"
	}
	return fmt.Sprintf("%v; the group %s may", why, g)
}

// openSoft makes what the software processor needs of the host, and throws it away.
func openSoft() error {
	s, err := soft.Open()
	if err != nil {
		return err
	}
	return s.Close()
}
