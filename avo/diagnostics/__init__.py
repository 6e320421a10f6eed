"""Does the simulator, at the fit, reproduce the data?"""
