package control_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/rollout"
)

// BenchmarkFleet reads 100,000 clients over 10,000 stores, and those of one store.
func BenchmarkFleet(b *testing.B) {
	const stores, perStore = 10_000, 10
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, engine := range []struct{ name, url string }{
		{"sqlite", "sqlite:" + filepath.Join(b.TempDir(), "control.db")},
		{"postgres", schema(b, postgres(b))},
	} {
		db, err := control.Open(b.Context(), control.Options{URL: engine.url, Now: func() time.Time { return now }})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := db.Close(); err != nil {
				b.Error(err)
			}
		})
		clients := make([]control.Client, 0, stores*perStore)
		for i := range stores * perStore {
			clients = append(clients, control.Client{Store: fmt.Sprint("store-", i%stores), ID: fmt.Sprint("c", i/stores), Release: "1.1.0", Source: rollout.FromSync})
		}
		start := time.Now()
		if err := db.Observe(b.Context(), "prod", clients); err != nil {
			b.Fatal(err)
		}
		b.Logf("%s: %d reports kept in %s", engine.name, len(clients), time.Since(start).Round(time.Millisecond))
		b.Run(engine.name+"/all", func(b *testing.B) {
			for b.Loop() {
				if f, err := db.Fleet(b.Context(), "prod", now); err != nil || len(f.Seen) != stores {
					b.Fatal(len(f.Seen), err)
				}
			}
		})
		b.Run(engine.name+"/one", func(b *testing.B) {
			for b.Loop() {
				if f, err := db.StoreFleet(b.Context(), "prod", "store-777", now); err != nil || len(f.Seen["store-777"]) != perStore {
					b.Fatal(f, err)
				}
			}
		})
	}
}
