module trdl-imitation

go 1.21

require (
	github.com/Masterminds/semver/v3 v3.2.1
	github.com/theupdateframework/go-tuf v0.5.2
)

require (
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/flynn/go-docopt v0.0.0-20140912013429-f6dd2ebbb31e // indirect
	github.com/golang/snappy v0.0.4 // indirect
	github.com/secure-systems-lab/go-securesystemslib v0.4.0 // indirect
	github.com/syndtr/goleveldb v1.0.1-0.20220721030215-126854af5e6d // indirect
	golang.org/x/crypto v0.0.0-20211117183948-ae814b36b871 // indirect
	golang.org/x/sys v0.0.0-20220722155257-8c9f86f7a55f // indirect
	golang.org/x/term v0.0.0-20210927222741-03fcf44c2211 // indirect
)

// The fork that the real trdl client is built with; its client half is go-tuf v0.5.2 unchanged.
replace github.com/theupdateframework/go-tuf => github.com/werf/3p-go-tuf v0.0.0-20230315082915-5fc159235553
