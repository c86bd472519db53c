"""The MPN layer and its equations, torch's recurrent cores, and the Q-network around them."""
