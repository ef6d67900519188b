package usernet

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// ResolvConf is where the host has it.
const ResolvConf = "/etc/resolv.conf"

// resolvConf is the host's resolv.conf, read again when it has changed.
type resolvConf struct {
	path string

	mu      sync.Mutex
	checked time.Time
	seen    os.FileInfo
	current resolvers
}

// resolvers are what a resolv.conf says.
type resolvers struct {
	servers []string // address:port
	search  []string
	timeout time.Duration // of one attempt
	tries   int           // of each server
}

// queryTimeout is what a question may take with all its attempts.
const queryTimeout = 10 * time.Second

// resolvConfAge is for how long the file is not read again.
const resolvConfAge = time.Second

func (c *resolvConf) get() resolvers {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= resolvConfAge {
		c.checked = now
		info, err := os.Stat(c.path)
		if err != nil || c.seen == nil || !os.SameFile(info, c.seen) || !info.ModTime().Equal(c.seen.ModTime()) || info.Size() != c.seen.Size() {
			if r, err := readResolvers(c.path); !errors.Is(err, fs.ErrPermission) || c.seen == nil {
				c.seen, c.current = info, r
			} // else the program is confined to the file that it was: that says what it can
		}
	}
	return c.current
}

// searchDomains are those that can be written as DHCP writes them (RFC 1035, section
// 3.1), without the dot at their end. "search ." is systemd-resolved's way to say
// that there are none.
func searchDomains(list []string) (domains []string) {
	for _, d := range list {
		if _, ok := dns.IsDomainName(d); ok && d != "." {
			domains = append(domains, strings.TrimSuffix(d, "."))
		}
	}
	return domains
}

// readResolvers reads a resolv.conf. Without one, or without a server in it, the
// resolver is this host, as resolv.conf(5) has it; the error says why.
func readResolvers(path string) (resolvers, error) {
	r := resolvers{timeout: 5 * time.Second, tries: 2}
	f, err := dns.ClientConfigFromFile(path)
	if err == nil {
		r.search = searchDomains(f.Search)
		r.timeout = time.Duration(min(max(f.Timeout, 1), 10)) * time.Second
		r.tries = min(max(f.Attempts, 1), 5)
		for _, s := range f.Servers {
			if _, err := netip.ParseAddr(s); err == nil {
				r.servers = append(r.servers, net.JoinHostPort(s, f.Port))
			}
		}
	}
	if len(r.servers) == 0 {
		r.servers = []string{"127.0.0.1:53"}
	}
	return r, err
}
