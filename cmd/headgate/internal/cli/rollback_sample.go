package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective"
	"headgate/internal/livestore"
)

// sample keeps n of the stores, drawn by who was seen in them: the bad release, others, or nobody.
func (s *assessor) sample(ctx context.Context, n int) error {
	seen, err := s.seen(ctx)
	if err != nil {
		return err
	}
	bad := s.is.Release.Version
	kinds := []corrective.Stratum{{Name: bad + " was seen there"}, {Name: "other releases were seen there"}, {Name: "nobody was seen there"}}
	for _, st := range s.stores {
		at := 2
		switch releases := seen[st.ID]; {
		case slices.Contains(releases, bad):
			at = 0
		case len(releases) > 0:
			at = 1
		}
		kinds[at].Stores = append(kinds[at].Stores, st.ID)
	}
	s.strata = slices.DeleteFunc(kinds, func(k corrective.Stratum) bool { return len(k.Stores) == 0 })
	drawn := map[livestore.StoreID]bool{}
	for _, id := range corrective.Draw(s.strata, n, s.selection.String()) {
		drawn[id] = true
	}
	s.stores = slices.DeleteFunc(slices.Clone(s.stores), func(st config.Store) bool { return !drawn[st.ID] })
	return nil
}

// seen are the releases that clients were seen on in each store.
func (s *assessor) seen(ctx context.Context) (by map[livestore.StoreID][]string, err error) {
	by = map[livestore.StoreID][]string{}
	err = s.app.known(ctx, s.env, "who was seen in the stores", func(ops operations) error {
		stores, err := ops.SeenStores(ctx)
		for _, st := range stores {
			by[livestore.StoreID(st.Store)] = st.Releases
		}
		return err
	})
	return by, err
}

// estimate says of all stores what the report says of the sample.
func (s *assessor) estimate(r assessment) corrective.Estimate {
	looked, hit := map[livestore.StoreID]bool{}, map[livestore.StoreID]bool{}
	for _, st := range s.stores {
		looked[st.ID] = true
	}
	for _, f := range r.Failed {
		delete(looked, f.Store)
	}
	for _, d := range r.Damages {
		hit[d.Store] = true
	}
	return corrective.NewEstimate(s.strata, func(id livestore.StoreID) (bool, bool) { return looked[id], hit[id] })
}

// estimateText says what a sample says.
func estimateText(e corrective.Estimate) string {
	var parts []string
	for _, st := range e.Strata {
		parts = append(parts, fmt.Sprintf("%d of the %d that were read of %d where %s", st.Hit, st.Sample, st.Of, strings.TrimSuffix(st.Name, " there")))
	}
	return fmt.Sprintf("between %d and %d of %s have bad events, at 95 %% confidence: %s", e.Low, e.High, count(e.Stores, "store"), strings.Join(parts, ", "))
}
