"""What layers of a network read and answer, at places drawn at random from real images, for solvers to fit."""
