package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// checkAddress refuses what can be no address: a path begins with /, fd:NAME is
// a socket of systemd's, and all else is HOST:PORT.
func checkAddress(key, addr string) error {
	if strings.HasPrefix(addr, "/") || strings.HasPrefix(addr, "fd:") {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%s: %q is no address: HOST:PORT, or a path that begins with /", key, addr)
	}
	return nil
}

// clash reports whether two sockets can not be open at once: of one port, one
// takes all addresses, or both take the same. Port 0 is another each time.
func clash(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || covers(hostA, hostB) || covers(hostB, hostA)
}

// covers reports whether who listens at all is in the way at host: "" and :: are
// for IPv4 too.
func covers(all, host string) bool {
	if all == "" || all == "::" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return all == "0.0.0.0" && (err != nil || ip.Unmap().Is4())
}

// isLocal reports whether only this machine can connect to addr.
func isLocal(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // a path, or a socket of systemd's, which is systemd's to judge
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// addresses checks those of a listener.
func (s *service) addresses() error {
	if len(s.Listen) == 0 {
		return errors.New(`listen is missing: where do clients come? listen = [":587"]`)
	}
	for _, addr := range s.Listen {
		if err := checkAddress("listen", addr); err != nil {
			return err
		}
		if strings.HasPrefix(addr, "/") && s.Backend.Identify == "protocol" {
			return fmt.Errorf("identify = protocol tells the backend of the client's IP address, and clients of %s have none", addr)
		}
	}
	if s.Backend.Address == "" {
		return errors.New("backend.address is missing")
	}
	if s.PublicIP != "" {
		if _, err := netip.ParseAddr(s.PublicIP); err != nil {
			return fmt.Errorf("public_ip %q is no IP address", s.PublicIP)
		}
	}
	if (s.PublicIP != "" || s.PassivePorts != "") && !s.info.Data {
		return fmt.Errorf("passive_ports and public_ip are for data connections, which %s has not", s.info.Name)
	}
	return checkAddress("backend.address", s.Backend.Address)
}

// check refuses limits that would let nobody in.
func (l Limits) check() error {
	for key, n := range map[string]int{"connections": l.Connections, "connections_per_ip": l.PerAddress, "handshakes": l.Handshakes,
		"commands": l.Commands, "refused_commands": l.Refused, "line": l.Line, "bytes": l.Bytes} {
		if n < 0 {
			return fmt.Errorf("limits.%s is %d: no limit is below zero, and 0 is the default", key, n)
		}
	}
	for key, d := range map[string]time.Duration{"handshake": l.Handshake, "dial": l.Dial, "idle": l.Idle} {
		if err := checkTime("limits."+key, d); err != nil {
			return err
		}
	}
	return nil
}

// checkTime refuses times of no length. A number without a unit, which TOML has
// too, is read as nanoseconds.
func checkTime(key string, d time.Duration) error {
	if d < 0 || 0 < d && d < time.Millisecond {
		return fmt.Errorf(`%s is %v: write it with its unit, as in %s = "30s"`, key, d, key[strings.LastIndex(key, ".")+1:])
	}
	return nil
}
