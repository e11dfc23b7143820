package cli

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

func (a *app) rolloutSimulateCommand() *cli.Command {
	return &cli.Command{
		Name: "simulate", Usage: "run a rollout on a fleet that is made up, or was imported, on a virtual clock", ArgsUsage: "NAME",
		UsageText: "headgate rollout simulate todo-created-v2\nheadgate rollout simulate todo-created-v2 --stores 100000 --half 5d --offline 60d\n" +
			"headgate rollout simulate todo-created-v2 --clients clients.csv",
		Description: `Runs the same decisions as a real rollout, and proves at each publication that no store loses the new version. Clients
upgrade so that half of them have after --half; a part (--tail) is offline for up to --offline first, and a part (--never)
never upgrades and goes away. Analyses succeed, and people act at once: what is left is the time that the fleet takes.

With --clients the fleet is a file as for ` + "`headgate census import`" + `: clients on releases that don't read the new version
upgrade after what --half says, the others have. Ends with 3 where it does not get to all stores within --limit.`,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "stores", Usage: "how many stores: `N`", Value: 100_000},
			&cli.IntFlag{Name: "per-store", Usage: "clients per store, in the mean: `N`", Value: 3},
			&cli.StringFlag{Name: "half", Usage: "half of the clients have upgraded after `DURATION`", Value: "5d"},
			&cli.StringFlag{Name: "tail", Usage: "the `SHARE` of clients that are offline at first", Value: "2%"},
			&cli.StringFlag{Name: "offline", Usage: "for up to `DURATION`", Value: "60d"},
			&cli.StringFlag{Name: "never", Usage: "the `SHARE` of clients that never upgrade and go away", Value: "0.1%"},
			&cli.StringFlag{Name: "limit", Usage: "give up after `DURATION`", Value: "365d"},
			&cli.StringFlag{Name: "tick", Usage: "how often the controller looks: `DURATION`", Value: "1h"},
			&cli.StringFlag{Name: "clients", Usage: "the fleet of `FILE` instead of one that is made up"},
			&cli.IntFlag{Name: "seed", Usage: "another fleet for another `N`", Value: 1},
			&cli.BoolFlag{Name: "force", Usage: "pass the point of no return although stores are not eligible"},
			envFlag(),
		},
		Action: a.rolloutSimulate,
	}
}

// A simulated rollout is what `rollout simulate` prints.
type simulated struct {
	Rollout string `json:"rollout"`
	Stores  int    `json:"stores"`
	Clients int    `json:"clients"`
	rollout.SimulationResult
	Took        string   `json:"took"`
	NextActions []string `json:"next_actions"`
}

func (a *app) rolloutSimulate(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	def, releases, err := a.definitionOf(cfg, c.Args().First())
	if err != nil {
		return err
	}
	if def.Horizon == 0 {
		if env, err := cfg.Environment(c.String("env")); err == nil {
			def.Horizon = env.Fleet.Horizon
		}
		def.Horizon = cmp.Or(def.Horizon, rollout.DefaultHorizon)
	}
	sim := rollout.Simulation{Begin: a.now().UTC().Truncate(time.Hour), Promote: true, Force: c.Bool("force")}
	adoption := rollout.Adoption{Stores: c.Int("stores"), PerStore: c.Int("per-store"), Seed: uint64(c.Int("seed"))}
	for _, f := range []struct {
		flag string
		into *time.Duration
	}{{"half", &adoption.Half}, {"offline", &adoption.Offline}, {"limit", &sim.Limit}, {"tick", &sim.Tick}} {
		if *f.into, err = config.ParseDuration(c.String(f.flag)); err != nil || *f.into <= 0 {
			return errs.Invalidf("--%s: %q is not a duration", f.flag, c.String(f.flag)).Hintf("write a number and a unit: 90d, 12h, 30m, 2w")
		}
	}
	for _, f := range []struct {
		flag string
		into *float64
	}{{"tail", &adoption.Tail}, {"never", &adoption.Never}} {
		if *f.into, err = config.ParseShare(c.String(f.flag)); err != nil {
			return errs.Invalidf("--%s: %q is not a share", f.flag, c.String(f.flag)).Hintf("write a percentage: 2%%, 0.5%%")
		}
	}
	if adoption.Stores < 1 || adoption.Stores > 1_000_000 || adoption.PerStore < 1 || adoption.PerStore > 1000 || sim.Tick < time.Minute {
		return errs.Invalidf("--stores is from 1 to 1000000, --per-store from 1 to 1000, --tick at least 1m")
	}
	if file := c.String("clients"); file != "" {
		sim.Fleet, err = a.exportedFleet(file, def.Readers(releases), adoption, def.Horizon)
	} else {
		sim.Fleet = adoption.Make()
	}
	if err != nil {
		return err
	}
	out := simulated{Rollout: def.Name, Stores: len(sim.Fleet), NextActions: []string{"headgate rollout check " + def.Name}}
	for _, s := range sim.Fleet {
		out.Clients += len(s.Clients)
	}
	start := a.now()
	if out.SimulationResult, err = sim.Run(def); err != nil {
		return err
	}
	out.Took = a.now().Sub(start).Round(time.Millisecond).String()
	if err := a.render(out, func(w io.Writer) error { return writeSimulated(w, out) }); err != nil || out.Full >= 0 {
		return err
	}
	return errs.New(errs.Findings, "not open to all stores after %s: %s", config.FormatDuration(sim.Limit), out.Next.What).
		Hintf("a shorter horizon, a floor, or --force for what is left")
}

// exportedFleet makes a fleet of a file of clients. Those that don't read yet upgrade at the adoption's pace.
func (a *app) exportedFleet(typed string, reads func(string) bool, pace rollout.Adoption, horizon time.Duration) ([]rollout.SimulatedStore, error) {
	file, err := openCensus(a.abs(typed), filepath.ToSlash(typed), a.now())
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was read
	p := a.progress("reading clients", 0)
	defer p.Done()
	byStore := map[string][]control.Client{}
	total := 0
	for k, err := range file.clients(p) {
		if err != nil {
			return nil, err
		}
		if a.now().Sub(k.LastSeen) <= horizon {
			byStore[k.Store] = append(byStore[k.Store], k)
			total++
		}
	}
	pace.Stores, pace.PerStore, pace.Tail, pace.Never = max(1, total), 1, 0, 0
	curve := pace.Make()
	var out []rollout.SimulatedStore
	for store, clients := range byStore {
		s := rollout.SimulatedStore{ID: livestore.StoreID(store)}
		for _, k := range clients {
			c := rollout.SimulatedClient{ID: k.ID, Every: max(a.now().Sub(k.LastSeen), time.Hour), LastSeen: -1}
			if !reads(k.Release) {
				total--
				c.Release, c.Upgrades = "0.0.1", curve[total].Clients[0].Upgrades
			}
			s.Clients = append(s.Clients, c)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b rollout.SimulatedStore) int { return cmp.Compare(a.ID, b.ID) })
	if len(out) == 0 {
		return nil, errs.Invalidf("no client in it was seen within %s", config.FormatDuration(horizon)).At("%s", typed).Hintf("the horizon is in the rollout's file")
	}
	return out, nil
}

func writeSimulated(w io.Writer, s simulated) error {
	fmt.Fprintf(w, "%s on %s with %s: %d ticks in %s\n\n", s.Rollout, count(s.Stores, "store"), count(s.Clients, "client"), s.Ticks, s.Took)
	rows := [][]string{{"AFTER", "PHASE", "WEIGHT", "OPEN", "ELIGIBLE", "BLOCKED", "WAITING"}}
	for _, e := range s.Events {
		phase := string(e.Phase)
		if e.Step > 0 {
			phase += fmt.Sprintf(", step %d", e.Step)
		}
		rows = append(rows, []string{config.FormatDuration(e.After), phase, e.Weight, fmt.Sprint(e.Tally.Open), fmt.Sprint(e.Tally.Eligible), fmt.Sprint(e.Tally.Blocked), fmt.Sprint(e.Tally.Waiting)})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if s.Full >= 0 {
		fmt.Fprintf(w, "open to all stores after %s\n", config.FormatDuration(s.Full))
	}
	for _, b := range s.Blockers {
		fmt.Fprintf(w, "held back: %s: %s\n", b.Store, b.Why)
	}
	_, err := fmt.Fprintf(w, "no cohort shrank: %s proven to keep every store that was open\n", count(s.Proofs, "publication"))
	return err
}
