package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore"
)

const wavesHead = "app: a\nschemas:\n  main: {entry: s.ts, adapters: [node]}\nenvironments:\n  prod:\n    stores: []\n    waves:\n"

func parseWaves(text string) (config.Environment, error) {
	c, err := config.Parse([]byte(wavesHead+text), "/app/headgate.yaml", func(string) (string, bool) { return "", false })
	if err != nil {
		return config.Environment{}, err
	}
	return c.Environments[0], nil
}

func TestWaves(t *testing.T) {
	e, err := parseWaves(`      - {name: canary, stores: [acme, "test-*"], parallel: 1}
      - {name: europe, region: eu, on_error: continue}
      - {name: some, share: 25%}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Wave{
		{Name: "canary", Stores: []string{"acme", "test-*"}, Parallel: 1, Line: 8},
		{Name: "europe", Region: "eu", Continue: true, Line: 9},
		{Name: "some", Share: 0.25, Line: 10},
	}
	if diff := cmp.Diff(want, e.Waves); diff != "" {
		t.Error(diff)
	}
	for id, wave := range map[string]int{"acme": 0, "test-7": 0, "acme2": -1} {
		got := e.WaveOf(config.Store{ID: livestore.StoreID(id)})
		if wave >= 0 && got != wave || wave < 0 && got < 2 {
			t.Errorf("%s is in wave %d", id, got)
		}
	}
	if got := e.WaveOf(config.Store{ID: "x", Region: "eu"}); got != 1 {
		t.Errorf("a European store is in wave %d", got)
	}
	in := 0
	for i := range 4000 {
		if e.WaveOf(config.Store{ID: livestore.StoreID(fmt.Sprint("s", i))}) == 2 {
			in++
		}
	}
	if in < 900 || in > 1100 {
		t.Errorf("a share of 25%% took %d of 4000 stores", in)
	}
}

func TestWaveOrder(t *testing.T) {
	e, err := parseWaves(`      - {name: rest, region: eu, depends_on: [canary, us]}
      - {name: us, region: us}
      - {name: canary, stores: [acme], order: 1}
      - {name: first, stores: [test], order: 1, depends_on: []}
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range e.Waves {
		got = append(got, w.Name)
	}
	if want := []string{"rest", "canary", "first", "us"}; !cmp.Equal(want, got) || !cmp.Equal(e.Waves[0].After, []string{"canary", "us"}) {
		t.Errorf("%q, %q", got, e.Waves[0].After)
	}
	if got := e.WaveOf(config.Store{ID: "acme"}); got != 1 {
		t.Errorf("acme is in wave %d", got)
	}
}

func TestWavesRefused(t *testing.T) {
	for text, msg := range map[string]string{
		"      - {stores: [a]}\n":                                        "name is missing",
		"      - {name: a}\n":                                            "does not say which stores",
		"      - {name: a, stores: [\"[\"]}\n":                           "is no pattern",
		"      - {name: a, share: 0%}\n":                                 "is not a share",
		"      - {name: a, region: eu, parallel: 0}\n":                   "not a number above 0",
		"      - {name: a, region: eu, on_error: ignore}\n":              "neither stop nor continue",
		"      - {name: a, region: eu}\n      - {name: a, region: us}\n": "is there twice",
		"      - {name: a, region: eu, order: size}\n":                   "not a number above 0",
		"      - {name: a, region: eu, depends_on: [b]}\n":               "depends on \"b\", which is no wave",
		"      - {name: a, region: eu, depends_on: [a]}\n":               "waits for itself",
		"      - {name: x, region: x}\n      - {name: a, region: eu, depends_on: [x, b]}\n      - {name: b, region: us, depends_on: [a]}\n": "wave \"a\" waits for itself",
	} {
		_, err := parseWaves(text)
		e := errs.As(err)
		if e == nil || !strings.Contains(e.Msg, msg) || !strings.HasPrefix(e.Where, "/app/headgate.yaml:") {
			t.Errorf("%s: %v, want %q", text, err, msg)
		}
	}
}
