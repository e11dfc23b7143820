package control_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"headgate/internal/control"
)

// BenchmarkRun makes a run of 10,000 stores, counts and lists them, and claims some of a wave
// that is bounded.
func BenchmarkRun(b *testing.B) {
	const stores = 10_000
	by := control.By{Actor: "bench"}
	for _, engine := range []struct{ name, url string }{
		{"sqlite", "sqlite:" + filepath.Join(b.TempDir(), "control.db")},
		{"postgres", schema(b, postgres(b))},
	} {
		db, err := control.Open(b.Context(), control.Options{URL: engine.url, Now: time.Now})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := db.Close(); err != nil {
				b.Error(err)
			}
		})
		var inventory []control.Store
		var rows []control.RunStore
		for i := range stores {
			id := fmt.Sprintf("store-%05d", i)
			inventory = append(inventory, control.Store{ID: id, Schema: "main", State: control.StoreActive})
			rows = append(rows, control.RunStore{Store: id, Due: 10})
		}
		b.Run(engine.name+"/sync", func(b *testing.B) {
			for b.Loop() {
				if _, err := db.Sync(b.Context(), "prod", control.Values(inventory), by); err != nil {
					b.Fatal(err)
				}
			}
		})
		run, n := "", 0
		b.Run(engine.name+"/create", func(b *testing.B) {
			for b.Loop() {
				n++
				run = fmt.Sprint("r", n)
				r := control.Run{ID: run, Env: "prod", Migration: fmt.Sprintf("%05d_x", n), Checksum: "abc"}
				if _, err := db.CreateRun(b.Context(), r, control.Values(rows), by); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(engine.name+"/counts", func(b *testing.B) {
			for b.Loop() {
				if c, err := db.Counts(b.Context(), run); err != nil || len(c) != 1 || c[0].Stores != stores {
					b.Fatal(c, err)
				}
			}
		})
		b.Run(engine.name+"/pending", func(b *testing.B) {
			for b.Loop() {
				seen := 0
				for _, err := range db.StoreRuns(b.Context(), run, control.AllWaves, control.Pending) {
					if err != nil {
						b.Fatal(err)
					}
					seen++
				}
				if seen != stores {
					b.Fatal(seen)
				}
			}
		})
		claimed := 0
		b.Run(engine.name+"/claim", func(b *testing.B) {
			for b.Loop() {
				c := control.Change{Owner: "o", Fence: 1, Parallel: stores}
				ok, err := db.Move(b.Context(), run, rows[claimed%stores].Store, []control.State{control.Pending}, control.Running, c)
				if err != nil || !ok && claimed < stores {
					b.Fatal(ok, err)
				}
				claimed++
			}
		})
	}
}
