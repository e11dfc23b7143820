package server

import (
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// A limiter gives each key so many tries a second, and a burst of them. It keeps a bounded number of keys.
type limiter struct {
	rate, burst float64
	now         func() time.Time

	mu   sync.Mutex
	left map[string]bucket
}

type bucket struct {
	tries float64
	at    time.Time
}

const bucketsKept = 10_000

func newLimiter(rate, burst float64, now func() time.Time) *limiter {
	return &limiter{rate: rate, burst: burst, now: now, left: map[string]bucket{}}
}

// take takes a try, or returns how long to wait for one.
func (l *limiter) take(key string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b, ok := l.left[key]
	if !ok {
		b = bucket{tries: l.burst, at: now}
	}
	b.tries = min(l.burst, b.tries+l.rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.tries < 1 {
		return time.Duration((1 - b.tries) / l.rate * float64(time.Second))
	}
	b.tries--
	if !ok && len(l.left) >= bucketsKept {
		l.forget(now)
	}
	l.left[key] = b
	return 0
}

// forget drops the keys that have all of their tries again, and all of them when that is none.
func (l *limiter) forget(now time.Time) {
	for k, b := range l.left {
		if b.tries+l.rate*now.Sub(b.at).Seconds() >= l.burst {
			delete(l.left, k)
		}
	}
	if len(l.left) >= bucketsKept {
		clear(l.left)
	}
}

// address is whom the limits of a request are for: an IPv4 address, or the /64 of an IPv6 one.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap(); ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// retryAfter says in whole seconds how long to wait.
func retryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(1, wait.Seconds())))))
}

// A boundedListener has so many connections open at most; others wait in the system's queue.
type boundedListener struct {
	net.Listener
	open chan struct{}
	done chan struct{}
	once sync.Once
}

func bounded(l net.Listener, n int) *boundedListener {
	return &boundedListener{Listener: l, open: make(chan struct{}, n), done: make(chan struct{})}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.open <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.open
		return nil, err
	}
	return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.open })}, nil
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	leave func()
}

func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
