package virtio

// Feature is a set of feature bits (section 2.2).
type Feature uint64

// Features of rings and transports (section 6). Bits 0 to 23 and from 50 on are
// the devices' own.
const (
	FeatureIndirectDesc     Feature = 1 << 28
	FeatureEventIndex       Feature = 1 << 29
	FeatureVersion1         Feature = 1 << 32
	FeatureAccessPlatform   Feature = 1 << 33
	FeatureRingPacked       Feature = 1 << 34
	FeatureInOrder          Feature = 1 << 35
	FeatureOrderPlatform    Feature = 1 << 36
	FeatureNotificationData Feature = 1 << 38
	FeatureRingReset        Feature = 1 << 40
)

// Has tells whether f has all bits of g.
func (f Feature) Has(g Feature) bool { return f&g == g }
