package bundle

import (
	"os"
	"path/filepath"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

// Files are the files of a recorded release, by their paths in the directory: the release, and its script where that is
// asked for. They go to another directory as they are; [Dir.Adopt] makes releases of them there.
func (d Dir) Files(schemaName, version string, script bool) (map[string][]byte, error) {
	r, err := d.Load(schemaName, version) // makes sure that it is whole
	if err != nil {
		return nil, err
	}
	names := []string{schemaName + "/" + version + ".json"}
	if script {
		if _, err := d.Script(r); err != nil {
			return nil, err
		}
		names = append(names, schemaName+"/"+bundlesDir+"/"+r.Bundle+".json.gz")
	}
	out := map[string][]byte{}
	for _, name := range names {
		path := filepath.Join(d.Path, filepath.FromSlash(name))
		if out[name], err = os.ReadFile(path); err != nil {
			return nil, errs.New(errs.Internal, "can't read the file").At("%s", path).Because(err)
		}
	}
	return out, nil
}

// Adopt notes the releases of a schema in headgate.sum as they lie there, without one. It is for a copy whose content was
// compared otherwise.
func (d Dir) Adopt(schemaName string) error {
	versions, err := d.Versions(schemaName)
	if err != nil {
		return err
	}
	sums := map[string]string{}
	for _, v := range versions {
		name := schemaName + "/" + v + ".json"
		data, err := os.ReadFile(filepath.Join(d.Path, filepath.FromSlash(name)))
		if err != nil {
			return errs.New(errs.Internal, "can't read the release").At("%s", d.Path).Because(err)
		}
		sums[name] = schema.DigestOf(data)
	}
	return d.writeSums(sums)
}
