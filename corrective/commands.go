package corrective

import (
	"strconv"

	"headgate/internal/livestore"
	"headgate/planner"
)

// A Command is one of headgate's, by its words, without the program's name.
type Command []string

// Circumstances are what the commands of a plan's steps need beside the plan.
type Circumstances struct {
	PlanFile string // as it is typed
	Dir      string // for logs as files, as it is typed; outside of what is committed
	Reason   string
	Every    bool // the plan is about every store of its schema
}

// Commands are what carries out a step, in their order; none where it is for people. Each may be run again: it goes on, or
// changes nothing.
func Commands(p *planner.Plan, s planner.Step, c Circumstances) []Command {
	in := p.Intent
	env := []string{"--env", in.Environment}
	why := []string{"--reason", c.Reason}
	switch s.Kind {
	case planner.StopEmission:
		if s.Rollout != "" {
			return []Command{join("rollout", "abort", s.Rollout).and(env).and(why)}
		}
	case planner.RaiseFloor:
		return []Command{join("floor", "set", s.Release).and(env).and(why)}
	case planner.BackfillRows:
		if !s.Placeholder {
			return []Command{join("migration", "up", "--plan", c.PlanFile, "--yes")}
		}
	case planner.WriteCorrections:
		return []Command{join("rollback", "generate", "--schema", in.Schema).and(env)}
	case planner.ProveCorrections:
		return []Command{join("rollback", "verify", "--release", s.Release, "--base", in.To.Version, "--bad", in.From.Version, "--schema", in.Schema).and(env)}
	case planner.ResetClients:
		arm := join("reset", "arm").and(env)
		if c.Every {
			arm = arm.and([]string{"--all", "--schema", in.Schema})
		} else {
			for _, id := range in.Stores {
				arm = append(arm, "--store", string(id))
			}
		}
		arm = arm.and([]string{"--per-hour", strconv.Itoa((len(in.Stores) + 23) / 24), "--accept-loss"}).and(why)
		return []Command{arm, join("reset", "fire").and(env)}
	case planner.ResetBackend, planner.CopyLog:
		var out []Command
		for _, id := range in.Stores {
			out = append(out, StoreCommands(p, s, id, c)...)
		}
		return out
	}
	return nil
}

// StoreCommands are the commands of a step that goes store by store, for one of them.
func StoreCommands(p *planner.Plan, s planner.Step, id livestore.StoreID, c Circumstances) []Command {
	env := []string{"--env", p.Intent.Environment}
	file := func(what string) string { return c.Dir + "/" + string(id) + what + ".json" }
	out := []Command{
		join("log", "export", "--store", string(id), "--out", file("")).and(env),
		join("log", "transform", file(""), "--corrections", "headgate/corrections/"+p.Intent.Schema+".yaml", "--out", file("-corrected")),
	}
	if s.Kind == planner.CopyLog {
		return append(out, join("log", "import", file("-corrected"), "--store", string(id)+CopySuffix, "--plan", c.PlanFile, "--reason", c.Reason).and(env))
	}
	return append(out, join("store", "reset", string(id), "--export", file("-last"), "--import", file("-corrected"), "--plan", c.PlanFile, "--accept-loss", "--reason", c.Reason).and(env))
}

func join(words ...string) Command { return words }

func (c Command) and(words []string) Command { return append(c, words...) }
