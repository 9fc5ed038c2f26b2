// An imitation of the trdl client, for machines where the real one cannot be installed. The TUF client inside is the
// real library of the real trdl, in the very version; the logic around it (channels, platforms, the local layout) was
// written from observations of the real client and is ours. It has the same command line for add, update, bin-path,
// dir-path and exec.
package main

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strings"

	"github.com/Masterminds/semver/v3"
	tuf "github.com/theupdateframework/go-tuf/client"
	leveldb "github.com/theupdateframework/go-tuf/client/leveldbstore"
	"github.com/theupdateframework/go-tuf/data"
)

var channels = map[string]bool{"dev": true, "alpha": true, "beta": true, "ea": true, "stable": true, "rock-solid": true}

type repository struct {
	Name, URL string
	dir       string
	tuf       *tuf.Client
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "trdl-imitation:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "version" {
		fmt.Println("imitation")
		return nil
	}
	if len(args) < 3 {
		return errors.New("usage: add NAME URL VERSION SHA512 | update|bin-path|dir-path|exec NAME GROUP|VERSION [CHANNEL] [BINARY] [-- ARGS]")
	}
	if args[0] == "add" {
		if len(args) != 5 {
			return errors.New("add NAME URL ROOT_VERSION ROOT_SHA512")
		}
		return add(args[1], args[2], args[3], args[4])
	}
	var rest []string
	for i, arg := range args {
		if arg == "--" {
			args, rest = args[:i], args[i+1:]
			break
		}
	}
	repo, err := open(args[1])
	if err != nil {
		return err
	}
	channel := "stable"
	binary := ""
	for _, arg := range args[3:] {
		if channels[arg] && binary == "" {
			channel = arg
		} else {
			binary = arg
		}
	}
	if args[0] == "update" {
		return repo.update(args[2], channel)
	}
	dir, err := repo.installed(args[2], channel)
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	switch args[0] {
	case "dir-path":
		fmt.Println(dir)
	case "bin-path":
		if _, err := os.Stat(bin); err != nil {
			return err
		}
		fmt.Println(bin)
	case "exec":
		if binary == "" {
			entries, err := os.ReadDir(bin)
			if err != nil {
				return err
			}
			if len(entries) != 1 {
				return fmt.Errorf("bin holds %d entries: name one", len(entries))
			}
			binary = entries[0].Name()
		}
		command := exec.Command(filepath.Join(bin, binary), rest...)
		command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
		return command.Run()
	default:
		return fmt.Errorf("unknown command %q", args[0])
	}
	return nil
}

func home(name string) string { return filepath.Join(os.Getenv("TRDL_HOME_DIR"), "repositories", name) }

func fetch(url string) ([]byte, error) {
	response, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", url, response.StatusCode)
	}
	return io.ReadAll(response.Body)
}

func add(name, url, version, sum string) error {
	file := "root.json"
	if version != "0" {
		file = version + ".root.json"
	}
	root, err := fetch(url + "/" + file)
	if err != nil {
		return err
	}
	found := sha512.Sum512(root)
	if hex.EncodeToString(found[:]) != sum {
		return fmt.Errorf("%s does not have the given sha512", file)
	}
	dir := home(name)
	if err := os.RemoveAll(filepath.Join(dir, ".meta")); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	config, _ := json.Marshal(repository{Name: name, URL: url})
	if err := os.WriteFile(filepath.Join(dir, "repository.json"), config, 0o644); err != nil {
		return err
	}
	repo, err := open(name)
	if err != nil {
		return err
	}
	return repo.tuf.Init(root)
}

func open(name string) (*repository, error) {
	config, err := os.ReadFile(filepath.Join(home(name), "repository.json"))
	if err != nil {
		return nil, fmt.Errorf("repository %q is not configured: %w", name, err)
	}
	repo := &repository{dir: home(name)}
	if err := json.Unmarshal(config, repo); err != nil {
		return nil, err
	}
	local, err := leveldb.FileLocalStore(filepath.Join(repo.dir, ".meta"))
	if err != nil {
		return nil, err
	}
	remote, err := tuf.HTTPRemoteStore(repo.URL, nil, nil)
	if err != nil {
		return nil, err
	}
	repo.tuf = tuf.NewClient(local, remote)
	return repo, nil
}

type buffer struct{ strings.Builder }

func (b *buffer) Delete() error { b.Reset(); return nil }

type file struct{ *os.File }

func (f *file) Delete() error { return os.Remove(f.Name()) }

var versionArgument = regexp.MustCompile(`^v\d`)

// A constraint that is no plain version, or a v and a digit, asks for a version; everything else is a group.
func isVersion(argument string) bool {
	if versionArgument.MatchString(argument) {
		return true
	}
	if _, err := semver.NewVersion(argument); err == nil {
		return false
	}
	_, err := semver.NewConstraint(argument)
	return err == nil
}

func (r *repository) update(argument, channel string) error {
	if _, err := r.tuf.Update(); err != nil {
		return fmt.Errorf("unable to update tuf meta: %w", err)
	}
	targets, err := r.tuf.Targets()
	if err != nil {
		return err
	}
	release, pointer := "", ""
	if isVersion(argument) {
		if release, err = pick(targets, argument); err != nil {
			return err
		}
		pointer = filepath.Join(r.dir, "versions", argument)
	} else {
		var content buffer
		if err := r.tuf.Download("channels/"+argument+"/"+channel, &content); err != nil {
			return fmt.Errorf("channel %q not found in the repository: %w", channel, err)
		}
		release = strings.TrimSpace(content.String())
		pointer = filepath.Join(r.dir, "channels", argument, channel)
	}
	if err := r.download(targets, release); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(pointer), 0o755); err != nil {
		return err
	}
	return os.WriteFile(pointer, []byte(release), 0o644)
}

func pick(targets data.TargetFiles, argument string) (string, error) {
	constraint, err := semver.NewConstraint(argument)
	if err != nil {
		return "", err
	}
	best, name := (*semver.Version)(nil), ""
	for target := range targets {
		parts := strings.Split(target, "/")
		if len(parts) < 3 || parts[0] != "releases" {
			continue
		}
		version, err := semver.NewVersion(parts[1])
		if err != nil || !constraint.Check(version) {
			continue
		}
		if best == nil || version.GreaterThan(best) {
			best, name = version, parts[1]
		}
	}
	if best == nil {
		return "", fmt.Errorf("version %q not found in the repository", argument)
	}
	return name, nil
}

func (r *repository) download(targets data.TargetFiles, release string) error {
	for _, platform := range []string{runtime.GOOS + "-" + runtime.GOARCH, runtime.GOOS + "-any", "any-" + runtime.GOARCH, "any-any"} {
		prefix := "releases/" + release + "/" + platform + "/"
		var names []string
		for name := range targets {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			continue
		}
		sort.Strings(names)
		root := filepath.Join(r.dir, "releases", release)
		temporary := root + ".tmp"
		if err := os.RemoveAll(temporary); err != nil {
			return err
		}
		for _, name := range names {
			path := filepath.Join(temporary, platform, filepath.FromSlash(strings.TrimPrefix(name, prefix)))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			mode := os.FileMode(0o655)
			if strings.HasPrefix(strings.TrimPrefix(name, prefix), "bin/") {
				mode = 0o755
			}
			f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, mode)
			if err != nil {
				return err
			}
			if err := r.tuf.Download(name, &file{f}); err != nil {
				return fmt.Errorf("unable to download %q: %w", name, err)
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(root); err != nil {
			return err
		}
		return os.Rename(temporary, root)
	}
	return fmt.Errorf("version %q not found in the repository (os: %q, arch: %q)", release, runtime.GOOS, runtime.GOARCH)
}

func (r *repository) installed(argument, channel string) (string, error) {
	pointer := filepath.Join(r.dir, "channels", argument, channel)
	if isVersion(argument) {
		pointer = filepath.Join(r.dir, "versions", argument)
	}
	release, err := os.ReadFile(pointer)
	if err != nil {
		return "", fmt.Errorf("not found locally: %w", err)
	}
	root := filepath.Join(r.dir, "releases", string(release))
	entries, err := os.ReadDir(root)
	if err != nil {
		return "", err
	}
	if len(entries) != 1 {
		return "", fmt.Errorf("%s holds %d platforms", root, len(entries))
	}
	return filepath.Join(root, entries[0].Name()), nil
}
