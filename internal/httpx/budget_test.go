package httpx

import (
	"slices"
	"testing"
)

// TestSlowest checks which uploads are cut off when memory runs out.
func TestSlowest(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		portions []portion
		missing  int64
		want     []int
	}{
		"none":                               {nil, 10, nil},
		"all are fast":                       {[]portion{{held: 10, rate: 100}, {held: 10, rate: 200}}, 10, nil},
		"the slowest":                        {[]portion{{held: 10, rate: 50}, {held: 10, rate: 10}, {held: 10, rate: 20}}, 10, []int{1}},
		"as many as are needed":              {[]portion{{held: 10, rate: 50}, {held: 10, rate: 10}, {held: 10, rate: 20}}, 11, []int{1, 2}},
		"never a fast one":                   {[]portion{{held: 10, rate: 50}, {held: 10, rate: 100}}, 20, []int{0}},
		"none without memory":                {[]portion{{held: 0, rate: 0}, {held: 10, rate: 20}}, 5, []int{1}},
		"already cut uploads count":          {[]portion{{held: 10, cut: true}, {held: 10, rate: 20}}, 10, nil},
		"already cut uploads are not enough": {[]portion{{held: 10, cut: true}, {held: 10, rate: 20}}, 15, []int{1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := slowest(test.portions, test.missing, 100); !slices.Equal(got, test.want) {
				t.Errorf("slowest(%v, %d) = %v, want %v", test.portions, test.missing, got, test.want)
			}
		})
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]int64{0: 1000, 4 << 10: 1000, 256 << 10: 1000, 256<<10 + 1: 750, 10 << 20: 750} {
		if got := room(1000, n); got != want {
			t.Errorf("room(1000, %d) = %d, want %d", n, got, want)
		}
	}
}

// TestNextSize checks the buffer sizes of a growing upload.
func TestNextSize(t *testing.T) {
	t.Parallel()
	const kib, mib = 1 << 10, 1 << 20
	tests := map[string]struct {
		announced, sent, limit int64
		plenty                 bool
		want                   []int64
	}{
		"nothing":                 {0, 0, 10 * mib, false, nil},
		"tiny":                    {100, 100, 10 * mib, false, []int64{32 * kib}},
		"usual":                   {100 * kib, 100 * kib, 10 * mib, false, []int64{32 * kib, 256 * kib}},
		"one step":                {mib, mib, 10 * mib, false, []int64{32 * kib, 256 * kib, mib}},
		"largest":                 {10 * mib, 10 * mib, 10 * mib, false, []int64{32 * kib, 256 * kib, 10 * mib}},
		"announced and not sent":  {10 * mib, 300 * kib, 10 * mib, false, []int64{32 * kib, 256 * kib, 10 * mib}},
		"announced, nothing sent": {10 * mib, 0, 10 * mib, false, nil},
		"chunked":                 {-1, 3 * mib, 10 * mib, false, []int64{32 * kib, 256 * kib, 512 * kib, mib, 2 * mib, 4 * mib}},
		"chunked, to the limit":   {-1, 10 * mib, 10 * mib, false, []int64{32 * kib, 256 * kib, 512 * kib, mib, 2 * mib, 4 * mib, 8 * mib, 10 * mib}},
		"form beyond the limit":   {10*mib + 200, 10 * mib, 10 * mib, false, []int64{32 * kib, 256 * kib, 10 * mib}},
		"small limit":             {1000, 1000, 1000, false, []int64{32 * kib}},
		"plenty":                  {100 * kib, 100 * kib, 10 * mib, true, []int64{256 * kib}},
		"plenty, tiny":            {100, 100, 10 * mib, true, []int64{32 * kib}},
		"plenty, largest":         {10 * mib, 10 * mib, 10 * mib, true, []int64{256 * kib, 2 * mib, 10 * mib}},
		"plenty, chunked":         {-1, 300 * kib, 10 * mib, true, []int64{32 * kib, 256 * kib, 512 * kib}},
		"longer than announced":   {300 * kib, 400 * kib, 10 * mib, false, []int64{32 * kib, 256 * kib, 300 * kib, 2400 * kib}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []int64
			for have := int64(0); have < test.sent; {
				have = nextSize(have, test.announced, test.limit, test.plenty)
				got = append(got, have)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("sizes %v, want %v", got, test.want)
			}
		})
	}
}
