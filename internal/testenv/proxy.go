package testenv

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// A Proxy passes bytes on between a client and a server, until a rule says otherwise.
type Proxy struct {
	URL    string // http://…
	target string

	mu    sync.Mutex
	rule  func(toBackend bool, data []byte) Verdict
	conns map[net.Conn]struct{}
}

// A Verdict says what becomes of some bytes.
type Verdict int

const (
	Pass Verdict = iota
	Swallow
	Cut // ends the connection instead
)

// NewProxy stands in front of the server at address until the test ends.
func NewProxy(t testing.TB, address string) *Proxy {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URL: "http://" + listener.Addr().String(), target: u.Host, conns: map[net.Conn]struct{}{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp", p.target)
			if err != nil {
				_ = client.Close() // nothing is lost with it
				continue
			}
			p.add(client, backend)
			wg.Go(func() { p.copy(backend, client, true) })
			wg.Go(func() { p.copy(client, backend, false) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // nothing is lost with it
		p.CutAll()
		wg.Wait()
	})
	return p
}

func (p *Proxy) add(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
}

// CutAll ends all connections.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // nothing is lost with it
	}
	clear(p.conns)
}

// Set makes the rule for what travels from now on; nil passes everything.
func (p *Proxy) Set(rule func(toBackend bool, data []byte) Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

func (p *Proxy) copy(dst, src net.Conn, toBackend bool) {
	defer dst.Close() //nolint:errcheck // nothing is lost with it
	defer src.Close() //nolint:errcheck // nothing is lost with it
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		v := Pass
		if p.rule != nil {
			v = p.rule(toBackend, buf[:n])
		}
		p.mu.Unlock()
		switch v {
		case Cut:
			return
		case Swallow:
			continue
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}
