package config

import (
	"crypto/sha256"
	"encoding/binary"
	"path"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
)

// A Wave is a part of an environment's stores: a run of a migration takes them when the waves before have ended, or those
// that it depends on where any wave depends on others. Stores that no wave takes are the last one.
type Wave struct {
	Name     string
	Stores   []string // patterns of store ids ("test-*"); none for any
	Region   string   // empty for any
	Share    float64  // of the stores that the others leave, 0 to 1; 0 for all of them
	Parallel int      // stores at a time over all workers; 0 for no limit
	Continue bool     // go on however many of its stores fail
	Order    int      // its place among the waves, which an environment has sorted; 0 for that in the file
	After    []string // names of the waves that must have ended well
	Line     int
}

// Takes reports whether the wave takes a store. A share always takes the same stores.
func (w Wave) Takes(s Store) bool {
	if w.Region != "" && s.Region != w.Region {
		return false
	}
	if len(w.Stores) > 0 && !slices.ContainsFunc(w.Stores, func(pattern string) bool {
		ok, err := path.Match(pattern, string(s.ID))
		return err == nil && ok
	}) {
		return false
	}
	if w.Share == 0 {
		return true
	}
	sum := sha256.Sum256([]byte("wave " + string(s.ID)))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11)/(1<<53) < w.Share
}

// WaveOf returns the number of the wave that takes a store; len(e.Waves) where none does.
func (e Environment) WaveOf(s Store) int {
	i := slices.IndexFunc(e.Waves, func(w Wave) bool { return w.Takes(s) })
	if i < 0 {
		return len(e.Waves)
	}
	return i
}

func (d decoder) waves(n *yaml.Node, p string, e *Environment) error {
	if err := d.waveList(n, p, e); err != nil {
		return err
	}
	place := map[string]int{}
	for i, w := range e.Waves {
		if place[w.Name] = i + 1; w.Order > 0 {
			place[w.Name] = w.Order
		}
	}
	slices.SortStableFunc(e.Waves, func(a, b Wave) int { return place[a.Name] - place[b.Name] })
	return d.waveOrder(p, e.Waves)
}

// waveOrder refuses waves that wait for one that is not there, or for themselves.
func (d decoder) waveOrder(p string, waves []Wave) error {
	known := names(waves, func(w Wave) string { return w.Name })
	ended := map[string]bool{}
	for _, w := range waves {
		for _, name := range w.After {
			if !slices.Contains(known, name) {
				e := unknown("wave", name, d.file, known).At("%s:%d", d.file, w.Line)
				e.Code, e.Msg = errs.Invalid, p+": wave "+strconv.Quote(w.Name)+" depends on "+strconv.Quote(name)+", which is no wave"
				return e
			}
		}
	}
	for len(ended) < len(waves) {
		before := len(ended)
		for _, w := range waves {
			if !slices.ContainsFunc(w.After, func(name string) bool { return !ended[name] }) {
				ended[w.Name] = true
			}
		}
		if len(ended) == before {
			i := slices.IndexFunc(waves, func(w Wave) bool { return !ended[w.Name] })
			return errs.Invalidf("%s: wave %q waits for itself, through depends_on", p, waves[i].Name).At("%s:%d", d.file, waves[i].Line).
				Hintf("one of the waves must not depend on another one")
		}
	}
	return nil
}

func (d decoder) waveList(n *yaml.Node, p string, e *Environment) error {
	return d.list(n, p, func(n *yaml.Node, p string) error {
		w := Wave{Line: resolve(n).Line}
		err := d.mapping(n, p, map[string]field{
			"name":   d.required(d.textInto(&w.Name)),
			"stores": {read: func(n *yaml.Node, p string) error { return d.patterns(n, p, &w.Stores) }},
			"region": d.textInto(&w.Region),
			"share": {read: func(n *yaml.Node, p string) error {
				v, err := d.text(n, p)
				if err != nil {
					return err
				}
				if w.Share, err = ParseShare(v); err != nil || w.Share == 0 {
					return d.errorf(n, "%s: %q is not a share", p, n.Value).Hintf("write a percentage up to 100%%: 5%%")
				}
				return nil
			}},
			"parallel": {read: func(n *yaml.Node, p string) error {
				v, err := d.text(n, p)
				if err != nil {
					return err
				}
				if w.Parallel, err = strconv.Atoi(v); err != nil || w.Parallel < 1 {
					return d.errorf(n, "%s: %q is not a number above 0", p, n.Value)
				}
				return nil
			}},
			"order": {read: func(n *yaml.Node, p string) error {
				v, err := d.text(n, p)
				if err != nil {
					return err
				}
				if w.Order, err = strconv.Atoi(v); err != nil || w.Order < 1 {
					return d.errorf(n, "%s: %q is not a number above 0", p, n.Value)
				}
				return nil
			}},
			"depends_on": {read: func(n *yaml.Node, p string) error { return d.texts(n, p, &w.After) }},
			"on_error": {read: func(n *yaml.Node, p string) error {
				v, err := d.text(n, p)
				if err != nil {
					return err
				}
				if v != "stop" && v != "continue" {
					return d.errorf(n, "%s: %q is neither stop nor continue", p, v).
						Hintf("stop, the default, begins no more stores when over 2 %% of the wave failed")
				}
				w.Continue = v == "continue"
				return nil
			}},
		})
		if err != nil {
			return err
		}
		if slices.ContainsFunc(e.Waves, func(o Wave) bool { return o.Name == w.Name }) {
			return d.errorf(n, "%s: wave %q is there twice", p, w.Name)
		}
		if len(w.Stores) == 0 && w.Region == "" && w.Share == 0 {
			return d.errorf(n, "%s: wave %q does not say which stores it takes", p, w.Name).
				Hintf("give it stores: [PATTERN], region or share; stores that no wave takes come last")
		}
		e.Waves = append(e.Waves, w)
		return nil
	})
}

func (d decoder) patterns(n *yaml.Node, p string, into *[]string) error {
	if err := d.texts(n, p, into); err != nil {
		return err
	}
	for _, pattern := range *into {
		if _, err := path.Match(pattern, ""); err != nil {
			return d.errorf(n, "%s: %q is no pattern", p, pattern).Hintf("* stands for any characters, ? for one: test-*")
		}
	}
	return nil
}
