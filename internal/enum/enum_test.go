package enum_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/enum"
)

type engine string

func TestCheck(t *testing.T) {
	values := []engine{"auto", "uring", "threads"}
	for _, v := range append(values, "") {
		if err := enum.Check(v, values); err != nil {
			t.Errorf("%q: %v", v, err)
		}
	}
	for _, tt := range []struct {
		values []engine
		want   string
	}{
		{values, `"Auto" is unknown; there are "auto", "uring" and "threads"`},
		{values[:2], `"Auto" is unknown; there are "auto" and "uring"`},
	} {
		if err := enum.Check("Auto", tt.values); err == nil || err.Error() != tt.want {
			t.Errorf("error %v, want %s", err, tt.want)
		}
	}
}
