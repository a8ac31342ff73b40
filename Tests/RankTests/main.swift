print("0 scenarios")
