package checkdocs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// documents is a repository: its files, and what of them was read before.
type documents struct {
	root  string
	names map[string]bool            // base names of files
	words map[string]map[string]bool // identifiers by the base name of their folder, and of all Go files by ""
	text  map[string]string
}

var word = regexp.MustCompile(`[A-Za-z_]\w*`)

// newDocuments lists the files below root.
func newDocuments(root string) (*documents, error) {
	d := &documents{root: root, names: map[string]bool{}, words: map[string]map[string]bool{"": {}}, text: map[string]string{}}
	return d, filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == ".git":
			return fs.SkipDir
		case !e.IsDir():
			return d.add(p, e.Name())
		}
		return nil
	})
}

func (d *documents) add(file, name string) error {
	d.names[name] = true
	if !strings.HasSuffix(name, ".go") || strings.HasPrefix(file, filepath.Join(d.root, "scripts", "checkdocs")) {
		return nil // this package's tests name what does not exist
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	pkg := filepath.Base(filepath.Dir(file))
	if filepath.Dir(file) == filepath.Clean(d.root) {
		pkg = "mayfly"
	}
	if d.words[pkg] == nil {
		d.words[pkg] = map[string]bool{}
	}
	for _, w := range word.FindAll(b, -1) {
		d.words[pkg][string(w)], d.words[""][string(w)] = true, true
	}
	return nil
}

func (d *documents) exists(name string) bool {
	_, err := os.Stat(filepath.Join(d.root, filepath.FromSlash(name)))
	return err == nil
}

func (d *documents) read(name string) string {
	if s, ok := d.text[name]; ok {
		return s
	}
	b, _ := os.ReadFile(filepath.Join(d.root, filepath.FromSlash(name)))
	d.text[name] = string(b)
	return string(b)
}

var (
	fence  = regexp.MustCompile("(?ms)^```.*?^```$")
	quoted = regexp.MustCompile("`([^`\n]+)`")
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	pathRE = regexp.MustCompile(`^[\w.…*-]+(/[\w.…*-]+)*/?$`)
	place  = regexp.MustCompile(`([\w./-]+\.go):(\w+)`)
	// camel is an identifier that is no word of English: smallImage, LoadMap.
	camel  = regexp.MustCompile(`^[A-Za-z]\w*[a-z][A-Z]\w*$`)
	dotted = regexp.MustCompile(`^([A-Za-z]\w*)((?:\.[A-Za-z]\w*)+)(?:\(.*\))?$`)
)

// markdown returns what is wrong in a document, whose path is relative to the root.
func (d *documents) markdown(doc string) (wrong []string) {
	text := fence.ReplaceAllString(d.read(doc), "")
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		if err := d.link(doc, m[1]); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: link %s: %v", doc, m[1], err))
		}
	}
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		switch wrongPlaces := d.places(doc, m[1]); {
		case place.MatchString(m[1]):
			wrong = append(wrong, wrongPlaces...)
		case !d.path(m[1]):
			wrong = append(wrong, fmt.Sprintf("%s: `%s`: no such file", doc, m[1]))
		case !d.identifier(m[1]):
			wrong = append(wrong, fmt.Sprintf("%s: `%s`: no such identifier", doc, m[1]))
		}
	}
	return wrong
}

// places returns which path/file.go:name in the text of a document do not exist.
func (d *documents) places(doc, text string) (wrong []string) {
	for _, m := range place.FindAllStringSubmatch(text, -1) {
		if !d.exists(m[1]) {
			wrong = append(wrong, fmt.Sprintf("%s: %s: no such file", doc, m[1]))
			continue
		}
		declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |\t|const |var )` + m[2] + `\b`)
		if !declared.MatchString(d.read(m[1])) {
			wrong = append(wrong, fmt.Sprintf("%s: %s declares no %s", doc, m[1], m[2]))
		}
	}
	return wrong
}

// identifier tells whether what is quoted occurs in Go's sources, where it looks like an
// identifier: smallImage, virtio.Instance, Config.Devices.
func (d *documents) identifier(s string) bool {
	if camel.MatchString(s) {
		return d.words[""][s]
	}
	m := dotted.FindStringSubmatch(s)
	if m == nil {
		return true
	}
	words := d.words[m[1]]
	if words == nil {
		if strings.ToLower(m[1]) == m[1] {
			return true // a file's name, or another module's package
		}
		words = d.words[""]
	}
	for name := range strings.SplitSeq(m[2][1:], ".") {
		if !words[name] {
			return false
		}
	}
	return true
}

// path tells whether what is quoted exists, where it is a path of this repository or the
// name of a Go file; other text is none of its business.
func (d *documents) path(s string) bool {
	if !pathRE.MatchString(s) {
		return true
	}
	first, _, nested := strings.Cut(s, "/")
	switch {
	case !nested:
		return !strings.HasSuffix(s, ".go") || strings.ContainsAny(s, "*…") || d.names[s]
	case !d.exists(first):
		return true // somebody else's: net/http
	case strings.ContainsAny(s, "*…"):
		found, err := filepath.Glob(filepath.Join(d.root, filepath.FromSlash(strings.ReplaceAll(s, "…", "*"))))
		return err == nil && len(found) > 0
	}
	return d.exists(s)
}

// link checks where a link leads, if that is in this repository.
func (d *documents) link(doc, to string) error {
	if strings.Contains(to, "://") {
		return nil
	}
	file, anchor, _ := strings.Cut(to, "#")
	name := doc
	if file != "" {
		name = path.Join(path.Dir(doc), file)
	}
	if !d.exists(name) {
		return fmt.Errorf("%s does not exist", name)
	}
	if anchor != "" && strings.HasSuffix(name, ".md") && !slices.Contains(anchors(d.read(name)), anchor) {
		return fmt.Errorf("%s has no such heading", name)
	}
	return nil
}

var (
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are those that GitHub makes of headings.
func anchors(text string) (list []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		s := dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		list = append(list, strings.ReplaceAll(s, " ", "-"))
	}
	return list
}
