package usernet

import "time"

// WithResolvers is the configuration with other resolvers than the host's.
func (c Config) WithResolvers(limit time.Duration, servers ...string) Config {
	c.resolv = &resolvConf{checked: time.Now().Add(time.Hour), current: resolvers{
		servers: servers, search: []string{"example.org", "lab.example.org"}, timeout: limit, tries: 1,
	}}
	return c
}
