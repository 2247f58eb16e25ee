package forward

import "testing"

func TestBefore(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		a, b load
		want bool
	}{
		"fewer images":                       {load{1, 4, 9}, load{2, 4, 1}, true},
		"more images":                        {load{2, 4, 1}, load{1, 4, 9}, false},
		"smaller share of more slots":        {load{3, 16, 9}, load{1, 4, 1}, true},
		"larger share of fewer slots":        {load{1, 4, 1}, load{3, 16, 9}, false},
		"equal shares, picked less recently": {load{2, 8, 3}, load{1, 4, 4}, true},
		"equal shares, picked last":          {load{2, 8, 4}, load{1, 4, 3}, false},
		"idle, never picked":                 {load{0, 1, 0}, load{0, 16, 1}, true},
		"the same":                           {load{1, 2, 3}, load{1, 2, 3}, false},
		"the largest values":                 {load{2 * maxConcurrency, 2 * maxConcurrency, 1}, load{2*maxConcurrency - 1, 2 * maxConcurrency, 2}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.a.before(test.b); got != test.want {
				t.Errorf("%+v.before(%+v) = %t, want %t", test.a, test.b, got, test.want)
			}
		})
	}
}

func TestHasRoom(t *testing.T) {
	t.Parallel()
	for l, want := range map[load]bool{{0, 0, 0}: false, {0, 1, 0}: true, {3, 4, 0}: true, {4, 4, 0}: false, {5, 4, 0}: false} {
		if got := l.hasRoom(); got != want {
			t.Errorf("%+v.hasRoom() = %t, want %t", l, got, want)
		}
	}
}
