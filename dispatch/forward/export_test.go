package forward

// Leaving returns the number of removed endpoints that are still watched.
func (p *Pool) Leaving() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.leaving)
}
