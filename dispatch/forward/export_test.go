package forward

// Leaving is how many endpoints are watched although they were removed.
func (p *Pool) Leaving() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.leaving)
}
