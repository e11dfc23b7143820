package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// completeWord is the hidden first argument with which the shells' functions ask for candidates: the words after
// the program's name follow, the last of them is the one under the cursor. The answer is one candidate per line,
// a tab and its description; the line ":files" alone asks for file names instead.
const completeWord = "__complete"

func (a *app) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Category:  plumbing,
		Usage:     "print the completion script of a shell",
		ArgsUsage: "bash|zsh|fish|powershell",
		Description: `The script asks headgate itself for candidates, so that it fits the installed version and
completes environments, store kinds and releases of the app in the working directory.`,
		UsageText: `# bash, in ~/.bashrc:
source <(headgate completion bash)
# zsh, in ~/.zshrc after compinit:
source <(headgate completion zsh)
# fish:
headgate completion fish > ~/.config/fish/completions/headgate.fish
# PowerShell, in $PROFILE:
headgate completion powershell | Out-String | Invoke-Expression`,
		Action: func(c *cli.Context) error {
			_, err := io.WriteString(a.stdout, completionScript(c.Args().First()))
			return err
		},
	}
}

// complete prints the candidates for the last of words. It never fails: a shell has no use for an error here.
func (a *app) complete(tree *cli.App, words []string) error {
	if len(words) == 0 {
		words = []string{""}
	}
	current, before := words[len(words)-1], words[:len(words)-1]
	if current == `""` { // how an older PowerShell has to pass an empty word
		current = ""
	}
	known := allFlags(tree)

	parts, _ := split(before, known)
	in := invocation{typed: "headgate"}
	rest, err := in.resolve(tree, parts)
	flag := func(name string) cli.Flag {
		if len(in.path) > 0 {
			if f := flagsByName(in.path[len(in.path)-1].Flags)[name]; f != nil {
				return f
			}
		}
		if f := flagsByName(tree.Flags)[name]; f != nil {
			return f
		}
		return known[name]
	}
	if len(before) > 0 && !slices.Contains(before, "--") {
		last := before[len(before)-1]
		if f := flag(strings.TrimLeft(last, "-")); f != nil && strings.HasPrefix(last, "--") && takesValue(f) {
			a.completeValue(f, current, "")
			return nil
		}
	}
	if err != nil {
		return nil // an unknown command: nothing follows it
	}
	if name, value, ok := strings.Cut(current, "="); ok && strings.HasPrefix(name, "--") {
		if f := flag(name[2:]); f != nil {
			a.completeValue(f, value, name+"=")
		}
		return nil
	}
	if strings.HasPrefix(current, "-") {
		a.completeFlags(tree, in, parts, current)
		return nil
	}
	level := tree.Commands
	if len(in.path) > 0 {
		level = in.path[len(in.path)-1].Subcommands
	}
	args := slices.DeleteFunc(rest, func(w word) bool { return w.flag != "" })
	if len(args) == 0 {
		for _, c := range level {
			if !c.Hidden {
				a.offer(current, c.Name, c.Usage)
			}
		}
	}
	if len(in.path) > 0 {
		a.completeArg(tree, in.path[len(in.path)-1], len(args), current)
	}
	return nil
}

// completeFlags offers the flags that are not on the line yet.
func (a *app) completeFlags(tree *cli.App, in invocation, typed []word, current string) {
	flags := tree.Flags
	if len(in.path) > 0 {
		own := in.path[len(in.path)-1].Flags
		index := flagsByName(own)
		flags = append(slices.Clone(own), slices.DeleteFunc(slices.Clone(flags), func(f cli.Flag) bool { return index[f.Names()[0]] != nil })...)
	}
	for _, f := range flags {
		used := slices.ContainsFunc(typed, func(w word) bool { return slices.Contains(f.Names(), w.flag) })
		if d, ok := f.(cli.DocGenerationFlag); ok && (!used || isSlice(f)) {
			_, usage := unquote(d.GetUsage())
			a.offer(current, "--"+f.Names()[0], usage)
		}
	}
}

// completeValue offers values of a flag, with prefix before each.
func (a *app) completeValue(f cli.Flag, current, prefix string) {
	if c, ok := f.(*choiceFlag); ok {
		for _, v := range c.choices {
			a.offer(prefix+current, prefix+v, "")
		}
		return
	}
	placeholder := "VALUE"
	if d, ok := f.(cli.DocGenerationFlag); ok {
		placeholder, _ = unquote(d.GetUsage())
	}
	a.completePlaceholder(placeholder, current, prefix)
}

// completeArg offers values for positional number i of a command.
func (a *app) completeArg(tree *cli.App, c *cli.Command, i int, current string) {
	want := positionals(c.ArgsUsage)
	if len(want) == 0 {
		return
	}
	if i >= len(want) {
		if !want[len(want)-1].many {
			return
		}
		i = len(want) - 1
	}
	for name := range strings.SplitSeq(want[i].name, "|") {
		switch {
		case name == "COMMAND":
			for _, sub := range tree.Commands {
				a.offer(current, sub.Name, sub.Usage)
			}
		case name == "TOPIC":
			for _, t := range a.topics() {
				a.offer(current, t.name, t.about)
			}
		case strings.ToUpper(name) != name:
			a.offer(current, name, "") // a literal alternative: bash|zsh
		default:
			a.completePlaceholder(name, current, "")
		}
	}
}

// completePlaceholder offers what a placeholder in help stands for: the names in headgate.yaml, recorded releases,
// or files.
func (a *app) completePlaceholder(placeholder, current, prefix string) {
	switch placeholder {
	case "FILE", "PATH", "DIR", "URL":
		fmt.Fprintln(a.stdout, ":files")
		return
	case "ENV", "SCHEMA", "RELEASE", "STORE":
	default:
		return
	}
	c, err := a.config()
	if err != nil {
		return
	}
	switch placeholder {
	case "ENV":
		for _, e := range c.Environments {
			a.offer(prefix+current, prefix+e.Name, "")
		}
	case "SCHEMA":
		for _, s := range c.Schemas {
			a.offer(prefix+current, prefix+s.Name, s.EntryAsWritten)
		}
	case "STORE":
		for _, e := range c.Environments {
			for _, s := range e.Stores {
				a.offer(prefix+current, prefix+string(s.ID), e.Name)
			}
		}
	case "RELEASE":
		seen := map[string]bool{}
		for _, s := range c.Schemas {
			entries, err := os.ReadDir(filepath.Join(c.Releases, s.Name))
			if err != nil {
				continue
			}
			for _, e := range entries {
				if v, ok := strings.CutSuffix(e.Name(), ".json"); ok && !seen[v] {
					seen[v] = true
					a.offer(prefix+current, prefix+v, "")
				}
			}
		}
	}
}

// offer prints a candidate that begins with what is under the cursor.
func (a *app) offer(current, candidate, about string) {
	if strings.HasPrefix(candidate, current) {
		fmt.Fprintf(a.stdout, "%s\t%s\n", candidate, about)
	}
}

// completionScript returns a shell's script. It only hands the words over and shows the answer.
func completionScript(shell string) string {
	switch shell {
	case "bash":
		return bashCompletion
	case "zsh":
		return zshCompletion
	case "fish":
		return fishCompletion
	}
	return powershellCompletion
}

const bashCompletion = `# bash completion for headgate
_headgate() {
    # Take the line apart at blanks only: bash would split --flag=value at the "=".
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$' \t\n'
    local -a words
    read -ra words <<<"$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    local cur="${words[-1]}" out candidate
    COMPREPLY=()
    out="$("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)" || return
    if [[ "$out" == ":files" ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "${cur#*=}")
        return
    fi
    while IFS=$'\t' read -r candidate _; do
        [[ -n "$candidate" ]] || continue
        # Readline replaces only what follows the last "=".
        if [[ "$cur" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then candidate="${candidate#*=}"; fi
        COMPREPLY+=("$candidate")
    done <<<"$out"
}
complete -F _headgate headgate
`

const zshCompletion = `#compdef headgate
# zsh completion for headgate
_headgate() {
    local out line
    local -a candidates
    out="$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"
    if [[ "$out" == ":files" ]]; then
        compset -P '*='
        _files
        return
    fi
    for line in "${(@f)out}"; do
        [[ -n "$line" ]] || continue
        local name="${line%%$'\t'*}" about="${line#*$'\t'}"
        candidates+=("${name//:/\\:}:${about}")
    done
    (( ${#candidates} )) && _describe -V headgate candidates
}
if [[ "$funcstack[1]" == "_headgate" ]]; then
    _headgate "$@"
else
    compdef _headgate headgate
fi
`

const fishCompletion = `# fish completion for headgate
function __headgate_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l out ($words[1] __complete $words[2..-1] 2>/dev/null)
    if test "$out" = ":files"
        __fish_complete_path (string replace -r '^--[^=]*=' '' -- (commandline -ct))
        return
    end
    printf '%s\n' $out
end
complete -c headgate -f -a '(__headgate_complete)'
`

const powershellCompletion = `# PowerShell completion for headgate
Register-ArgumentCompleter -Native -CommandName headgate -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition -or $_.Extent.Text -ne $wordToComplete } | ForEach-Object { $_.Extent.Text })
    $rest = @()
    if ($words.Count -gt 1) { $rest = $words[1..($words.Count - 1)] }
    $current = $wordToComplete
    if ($current -eq '') { $current = '""' }
    $out = @(& $words[0] __complete @rest $current 2>$null)
    if ($out.Count -eq 1 -and $out[0] -eq ':files') { return }
    foreach ($line in $out) {
        $name, $about = $line -split [char]9, 2
        if (-not $about) { $about = $name }
        [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', $about)
    }
}
`
