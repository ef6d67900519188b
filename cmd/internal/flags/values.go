package flags

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/internal/unixsocket"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// existing is the name of a file that must exist. It is checked before a machine is made, which an error would have to undo.
func existing(p *string) option.Value {
	v := option.Path(p)
	set := v.Set
	v.Set = func(s string) error {
		if err := set(s); err != nil {
			return err
		}
		if _, err := os.Stat(s); err != nil {
			return &fileError{err}
		}
		return nil
	}
	return v
}

// folder is the name of a folder that must exist.
func folder(p *string) option.Value {
	v := existing(p)
	set := v.Set
	v.Set = func(s string) error {
		if err := set(s); err != nil {
			return err
		}
		if st, err := os.Stat(s); err == nil && !st.IsDir() {
			return &fileError{&fs.PathError{Op: "stat", Path: s, Err: unix.ENOTDIR}}
		}
		return nil
	}
	return v
}

// toMake is the name of a file that the machine makes: its folder must exist.
func toMake(p *string) option.Value {
	v := option.Path(p)
	set := v.Set
	v.Set = func(s string) error {
		if err := set(s); err != nil {
			return err
		}
		if err := unix.Access(filepath.Dir(s), unix.W_OK|unix.X_OK); err != nil {
			return &fileError{&fs.PathError{Op: "access", Path: filepath.Dir(s), Err: fmt.Errorf("the folder %q: %w", filepath.Dir(s), err)}}
		}
		return nil
	}
	return v
}

// peerSocket is a socket to connect to: a file that must exist, or @NAME, an abstract socket.
func peerSocket(p *string) option.Value {
	v := existing(p)
	file := v.Set
	v.Set = func(s string) error {
		if err := unixsocket.CheckPeer(s); err != nil {
			return unquoted(err, s)
		}
		if s[0] == '@' {
			*p = s
			return nil
		}
		return file(s)
	}
	return v
}

// socketToMake is the path of a socket that the machine makes.
func socketToMake(p *string) option.Value {
	v := toMake(p)
	file := v.Set
	v.Set = func(s string) error {
		if err := unixsocket.CheckPath(s, 0); err != nil {
			return unquoted(err, s)
		}
		return file(s)
	}
	return v
}

// mode is permissions of a file.
func mode(p *os.FileMode) option.Value {
	return option.Own("^0?[0-7]{3}$",
		func(s string) error {
			n, err := strconv.ParseUint(s, 8, 9)
			if err != nil {
				return errors.New("not permissions; write them in octal, such as 0660")
			}
			*p = os.FileMode(n)
			return nil
		},
		func() []string {
			if *p == 0 {
				return nil
			}
			return []string{fmt.Sprintf("%04o", uint32(*p))}
		})
}

// fileError is a file that doesn't exist or can't be examined: not a usage error, so its exit code is 1.
type fileError struct{ err error }

// Error leaves out the path, which stands before it.
func (e *fileError) Error() string {
	var p *fs.PathError
	if errors.As(e.err, &p) {
		return p.Err.Error()
	}
	return e.err.Error()
}

// Unwrap is the host's error.
func (e *fileError) Unwrap() error { return e.err }

// ascii is a text that is stored as it is, of limited length.
func ascii(p *string, most int) option.Value {
	v := option.Text(p)
	v.Pattern = fmt.Sprintf("^[ -~]{1,%d}$", most)
	v.Set = func(s string) error {
		for i := range len(s) {
			if s[i] < ' ' || s[i] > '~' {
				return errors.New("only printable ASCII is possible")
			}
		}
		if len(s) < 1 || len(s) > most {
			return fmt.Errorf("%d letters; it has 1 to %d", len(s), most)
		}
		*p = s
		return nil
	}
	return v
}

func powerOfTwo(p *int, least, most int) option.Value {
	v := option.Number(p, uint64(least), uint64(most))
	set := v.Set
	v.Set = func(s string) error {
		if n, err := strconv.Atoi(s); err == nil && n > 0 && n&(n-1) != 0 {
			return fmt.Errorf("not a power of two; it is one from %d to %d", least, most)
		}
		return set(s)
	}
	return v
}

// unless is a key that is true by default, for a field with the opposite meaning.
func unless(p *bool) option.Value {
	on := !*p
	v := option.Bool(&on)
	set := v.Set
	v.Set = func(s string) error {
		err := set(s)
		*p = !on
		return err
	}
	v.Get = func() []string {
		if *p {
			return []string{"false"}
		}
		return nil
	}
	return v
}

func ringKey(r *Ring) option.Flag {
	return option.Flag{Name: "ring", Default: "split", Help: "the layout of the virtqueues; packed where the guest knows it too", Value: option.Choice(r, RingSplit, RingPacked)}
}

// interfaceName is the name of a network interface of Linux: IFNAMSIZ with its NUL is 16.
func interfaceName(p *string) option.Value {
	v := option.Text(p)
	v.Pattern = "^[!-.0-9;-~]{1,15}$"
	v.Set = func(s string) error {
		if len(s) < 1 || len(s) > 15 || strings.ContainsAny(s, "/: \t\n") || s == "." || s == ".." {
			return errors.New("not a name of an interface; it has 1 to 15 letters, no blank, slash or colon")
		}
		*p = s
		return nil
	}
	return v
}

// descriptors are numbers of open files that this program was started with.
func descriptors(p *[]int) option.Value {
	return option.Value{
		Type: option.Integer, Least: 3, Most: 1 << 20,
		Set: func(s string) error {
			n, err := strconv.Atoi(s)
			if err != nil || n < 3 || n > 1<<20 {
				return errors.New("not a number of a descriptor; it is one from 3 on")
			}
			if _, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil {
				return errors.New("not open: start the program with it, such as: mayfly run … 3<>/dev/tapN")
			}
			*p = append(*p, n)
			return nil
		},
		Get: func() (list []string) {
			for _, n := range *p {
				list = append(list, strconv.Itoa(n))
			}
			return list
		},
	}
}

func mac(p *string) option.Value {
	v := option.Text(p)
	v.Pattern = "^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$"
	v.Set = func(s string) error {
		if _, err := vnet.ParseMAC(s); err != nil {
			return unquoted(err, s)
		}
		*p = s
		return nil
	}
	return v
}

func forwards(p *[]string) option.Value {
	v := option.Texts(p)
	v.Pattern = `^(tcp:|udp:)?(([^:]*|\[[^]]*\]):)?[0-9]+:[0-9]+$`
	set := v.Set
	v.Set = func(s string) error {
		if _, err := vnet.ParseForward(s); err != nil {
			return unquoted(err, s)
		}
		return set(s)
	}
	return v
}

func networks(p *[]string) option.Value {
	v := option.Texts(p)
	v.Pattern = `^[0-9]+(\.[0-9]+){3}(/[0-9]+)?$`
	set := v.Set
	v.Set = func(s string) error {
		if _, err := vnet.ParseNetwork(s); err != nil {
			return unquoted(err, s)
		}
		return set(s)
	}
	return v
}

// unquoted leaves out the value that an error begins with: it stands before it already.
func unquoted(err error, value string) error {
	return errors.New(strings.TrimPrefix(err.Error(), strconv.Quote(value)+": "))
}

// reason leaves out what a device calls itself.
func reason(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
