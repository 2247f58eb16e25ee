package kernel

func (l *Layout) rgbGeneric(dst, pixels []byte) {
	red, green, blue := l.at[0], l.at[1], l.at[2]
	for ; len(dst) >= 3; dst, pixels = dst[3:], pixels[l.size:] {
		p := pixels[:l.size]
		dst[0], dst[1], dst[2] = p[red], p[green], p[blue]
	}
}
