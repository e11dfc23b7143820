package migrations

import (
	"path/filepath"

	"headgate/internal/errs"
)

// Files are what makes the migration's checksum: its file, and its inputs or the modules that it imports, by their paths in
// its directory. When they are not what was loaded any more the error is errs.Stale.
func (d Definition) Files() (map[string][]byte, error) {
	own := filepath.Base(d.Path)
	data, err := readFile(d.Path, MaxFileBytes)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{own: data}
	var names []string
	for _, in := range d.Inputs {
		names = append(names, in.File)
	}
	if d.module != nil {
		names = d.module.script.Modules
	}
	var parts []part
	for _, name := range names {
		if name == own {
			continue
		}
		content, err := readFile(filepath.Join(filepath.Dir(d.Path), filepath.FromSlash(name)), MaxInputBytes)
		if err != nil {
			return nil, err
		}
		out[name] = content
		parts = append(parts, part{name, content})
	}
	if joined(checksum(data), parts) != d.Checksum {
		return nil, errs.New(errs.Stale, "the migration was changed just now").At("%s", d.Path).Hintf("do the same again")
	}
	return out, nil
}

// In is the definition as messages name its files, below dir, wherever they were loaded from.
func (d Definition) In(dir string) Definition {
	d.Path = filepath.Join(dir, filepath.Base(d.Path))
	if d.module != nil {
		m := *d.module
		m.path = d.Path
		d.module = &m
	}
	return d
}
