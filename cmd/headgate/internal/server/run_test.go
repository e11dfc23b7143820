package server

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// run starts a server of its own, as headgate serve does, and returns its address.
func run(t *testing.T, w *world, change func(*Options)) (url string) {
	t.Helper()
	url, _ = start(t, w, change)
	return url
}

// start is run, and what ends the server as SIGTERM does.
func start(t *testing.T, w *world, change func(*Options)) (url string, end func()) {
	t.Helper()
	o := w.Options
	if change != nil {
		change(&o)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	at, ended := make(chan string, 1), make(chan error, 1)
	o.Ready = func(url string) { at <- url }
	go func() { ended <- Run(ctx, o) }()
	end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	select {
	case url = <-at:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return url, end
}

// TestSlowHeader: a connection that never ends its header is closed. Meanwhile the rollouts are looked after.
func TestSlowHeader(t *testing.T) {
	t.Parallel()
	ticked := make(chan struct{}, 1)
	url := run(t, newWorld(t, nil), func(o *Options) {
		o.TickEvery, o.Tick = time.Hour, func(context.Context) error {
			ticked <- struct{}{}
			return nil
		}
	})
	conn := dial(t, url)
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
}

func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", url[strings.Index(url, "//")+2:])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestHeaderBomb: a header that is too long is refused, whoever sends it.
func TestHeaderBomb(t *testing.T) {
	t.Parallel()
	conn := dial(t, run(t, newWorld(t, nil), nil))
	go func() { // the server does not read all of it
		_, _ = io.WriteString(conn, "GET /v1/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hg_"+strings.Repeat("x", 4*headerBytes)+"\r\n\r\n")
	}()
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(answer, " 431 ") {
		t.Errorf("%q, %v", answer, err)
	}
}

// TestConnectionsAreBounded: what is over the bound waits until a connection ends.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := bounded(inner, 2)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for range 3 {
		dial(t, "tcp://"+inner.Addr().String())
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Error("a third connection was let in")
	case <-time.After(50 * time.Millisecond):
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	_ = first.Close() // twice gives no room twice
	third := <-accepted
	_, _ = second.Close(), third.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for range accepted {
	}
}

// TestTLS serves with a certificate in files, and speaks nothing older than TLS 1.2.
func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key, roots := certificate(t)
	url := run(t, newWorld(t, nil), func(o *Options) { o.Cert, o.Key = cert, key })
	ask := func(c *tls.Config) (string, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: c}}
		defer client.CloseIdleConnections()
		res, err := client.Get(url + "/healthz")
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	if body, err := ask(&tls.Config{RootCAs: roots}); err != nil || !strings.Contains(body, "ok") || !strings.HasPrefix(url, "https://") {
		t.Errorf("%s: %q, %v", url, body, err)
	}
	if _, err := ask(&tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // that is what is tried
		t.Error("TLS 1.1 was spoken")
	}
	if _, err := ask(&tls.Config{RootCAs: x509.NewCertPool()}); err == nil {
		t.Error("a certificate of nobody was accepted")
	}
	o := newWorld(t, nil).Options
	o.Cert, o.Key = key, cert
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the certificate can't be used") {
		t.Errorf("%v", err)
	}
}

// certificate writes one for 127.0.0.1 and its key into files.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, roots
}
