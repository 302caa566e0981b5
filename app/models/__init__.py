"""Models that a person can try: weights and results of jobs, with their ONNX files and thresholds.

named.py        a weights name or `job:ID` to the weights file and the job that made it
ready.py        the ONNX files of a model and of the weights that it was made from
thresholds.py   from which similarity on two photos show one person, by an evaluation
answers.py      similarities and thresholds to answers
listing.py      all models that a caller may use
"""
