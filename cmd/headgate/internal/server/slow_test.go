package server

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestSlowHeader: a connection that never ends its header is closed.
func TestSlowHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	o := w.Options
	ctx, stop := context.WithCancel(t.Context())
	at := make(chan string, 1)
	o.Ready = func(url string) { at <- strings.TrimPrefix(url, "http://") }
	ticked := make(chan struct{}, 1)
	o.TickEvery, o.Tick = time.Hour, func(context.Context) error {
		ticked <- struct{}{}
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	conn, err := net.Dial("tcp", <-at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := conn.SetReadDeadline(start.Add(6 * headerTime)); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || strings.Contains(string(answer), " 200 ") {
		t.Errorf("after %s: %q, %v", time.Since(start), answer, err)
	}
	<-ticked
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
